"""Number, commit, then publish: over a real SQLite file, and over one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kanad_server import lifecycle
from kanad_server.dispatch import _experiment as experiment_of
from kanad_server.errors import Conflict, Unavailable
from kanad_server.hub import Hub
from kanad_server.journal import Journal, Key
from kanad_server.lifecycle import RefusedChange
from kanad_server.store import Commit, SqliteStore
from kanad_server.testing import spec
from kanad_server.wire import Convergence, Experiment


class FailingStore(SqliteStore):
    """A store whose disk can be full."""

    is_full = False

    async def commit(self, commit: Commit) -> None:
        if self.is_full:
            raise Unavailable("store_unavailable", "the disk is full")
        await super().commit(commit)


@asynccontextmanager
async def journal_at(path: Path) -> AsyncIterator[tuple[Journal, FailingStore, Hub]]:
    async with FailingStore(path / "kanad.sqlite") as store:
        hub = Hub()
        journal = Journal(store, hub)
        task = asyncio.create_task(journal.run())
        try:
            yield journal, store, hub
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def accept(
    journal: Journal, experiment: Experiment, key: str | None = None, body_hash: str = ""
) -> tuple[Experiment, bool]:
    asked = None if key is None else Key(experiment.owner, key, body_hash)
    (accepted,), is_new = await journal.accept(lambda: [(experiment, None)], key=asked)
    return accepted, is_new


def heard(attempt: int, iteration: int) -> lifecycle.Hear:
    return lifecycle.Hear(attempt, Convergence(series="scf", iteration=iteration, energy_hartree=-1.0))


async def started(journal: Journal) -> Experiment:
    accepted, _ = await accept(journal, experiment_of(spec()))
    return journal.propose(accepted.id, lifecycle.Start(1))


async def test_what_was_accepted_is_in_the_store_before_the_answer(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, store, _):
        accepted, is_new = await accept(journal, experiment_of(spec(name="n", tags=("a",))))
        assert is_new
        assert await store.get(accepted.id) == accepted
        assert [seq for seq, _ in await store.events(accepted.id, 0, 10)] == [1]


async def test_nobody_sees_an_event_that_is_not_in_the_log(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, store, hub):
        experiment = await started(journal)
        seen: list[int] = []
        original = hub.publish

        def publish(experiment: Experiment, events: list[tuple[str, int, str]]) -> None:
            seen.extend(seq for _, seq, _ in events)
            original(experiment, events)

        hub.publish = publish  # type: ignore[method-assign,assignment]  # to watch it
        store.is_full = True
        for iteration in range(1, 50):
            journal.propose(experiment.id, heard(1, iteration))
        await asyncio.sleep(0.1)
        assert journal.failure is not None
        assert len(seen) <= 1  # the commit of `started` itself may have been under way
        store.is_full = False
        await journal.settle()
        assert journal.failure is None
        stored = [seq for seq, _ in await store.events(experiment.id, 0, 100)]
        assert stored == list(range(1, 52))


async def test_an_acceptance_that_cannot_be_kept_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, store, _):
        store.is_full = True
        with pytest.raises(Unavailable):
            await accept(journal, experiment_of(spec()), key="k", body_hash="h")
        store.is_full = False
        accepted, is_new = await accept(journal, experiment_of(spec()), key="k", body_hash="h")
        assert is_new
        assert [item.id for item in await store.active()] == [accepted.id]


async def test_a_result_is_held_while_the_store_cannot_write(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, store, _):
        experiment = await started(journal)
        store.is_full = True
        journal.propose(experiment.id, lifecycle.Complete(1, -1.0, b'{"energy_hartree":-1.0}'))
        await asyncio.sleep(0.1)
        assert await store.result(experiment.id) is None
        store.is_full = False
        await journal.settle()
        assert await store.result(experiment.id) == '{"energy_hartree":-1.0}'


async def test_a_reader_sees_only_what_is_committed(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, store, _):
        experiment = await started(journal)
        await journal.settle()
        store.is_full = True
        journal.propose(experiment.id, heard(1, 1))
        head, current = journal.head(experiment.id), await journal.current(experiment.id)
        assert head is not None
        assert current is not None
        assert head.last_seq == current.last_seq + 1


@pytest.mark.parametrize("bound", ["MAX_PENDING_EVENTS", "MAX_HELD_BYTES"])
async def test_the_slots_are_held_back_when_too_much_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"kanad_server.journal.{bound}", 10)
    async with journal_at(tmp_path) as (journal, store, _):
        experiment = await started(journal)
        store.is_full = True
        for iteration in range(20):
            journal.propose(experiment.id, heard(1, iteration))
        waiting = asyncio.ensure_future(journal.room())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        store.is_full = False
        await asyncio.wait_for(waiting, 5)
        await journal.settle()
        assert journal.has_room


async def test_an_end_does_not_wait_for_the_pace_where_little_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanad_server.journal.PACE_S", 3_600.0)
    async with journal_at(tmp_path) as (journal, _, _), asyncio.timeout(20):
        experiment = await started(journal)
        journal.propose(experiment.id, lifecycle.Cancel())
        await journal.settle()
        assert journal.committed(experiment.id) is None


async def test_concurrent_uses_of_a_key_make_one_experiment(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, _, _):
        uses = [accept(journal, experiment_of(spec()), key="k", body_hash="h") for _ in range(20)]
        outcomes = await asyncio.gather(*uses)
        assert len({experiment.id for experiment, _ in outcomes}) == 1
        assert sum(is_new for _, is_new in outcomes) == 1
        with pytest.raises(Conflict):
            await accept(journal, experiment_of(spec()), key="k", body_hash="other")


async def test_a_key_of_one_owner_is_none_of_another(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, _, _):
        uses = [accept(journal, experiment_of(spec(), owner), key="k", body_hash=owner) for owner in ("ana", "eve")]
        (ana, _), (eve, _) = await asyncio.gather(*uses)
        assert (ana.owner, eve.owner) == ("ana", "eve")
        again, is_new = await accept(journal, experiment_of(spec(), "ana"), key="k", body_hash="ana")
        assert (again.id, is_new) == (ana.id, False)


async def test_a_retry_that_does_not_fit_leaves_no_head_behind(tmp_path: Path) -> None:
    async with journal_at(tmp_path) as (journal, _, _):
        experiment = await started(journal)
        journal.propose(experiment.id, lifecycle.Complete(1, -1.0, b"{}"))
        await journal.settle()
        with pytest.raises(RefusedChange):
            await journal.propose_to_ended(experiment.id, lifecycle.Retry())
        assert journal.head(experiment.id) is None


async def test_ids_sort_in_the_order_they_were_made() -> None:
    from kanad_server.clock import new_id

    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
