"""Who runs next, and what becomes of attempts, with scripted slots and a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kanad_server.dispatch import Dispatch
from kanad_server.engines import Failed, Lost
from kanad_server.errors import Conflict, NotFound, Unavailable
from kanad_server.hub import Hub
from kanad_server.journal import Journal
from kanad_server.store import SqliteStore
from kanad_server.testing import ScriptedEngine, ScriptedSlot, spec
from kanad_server.wire import Error, Experiment
from kanad_solvers.spec import Limits

LOST = Lost(Error(code="worker_lost", message="it died"))
FAILED = Failed(Error(code="not_converged", message="no"))


class Room:
    """Store, journal and dispatch, running."""

    def __init__(self, store: SqliteStore, journal: Journal, dispatch: Dispatch) -> None:
        self.store, self.journal, self.dispatch = store, journal, dispatch

    async def ended(self, experiment: Experiment) -> Experiment:
        async with asyncio.timeout(5):
            while True:
                current = await self.journal.current(experiment.id)
                assert current is not None
                if current.is_final:
                    return current
                await asyncio.sleep(0.005)


@asynccontextmanager
async def room(path: Path, *slots: ScriptedSlot, max_waiting: int = 100) -> AsyncIterator[Room]:
    async with SqliteStore(path / "kanad.sqlite") as store:
        journal = Journal(store, Hub())
        dispatch = Dispatch(journal, ScriptedEngine(*slots), max_attempts=2, max_waiting=max_waiting)
        committing = asyncio.create_task(journal.run())
        running = asyncio.create_task(dispatch.run())
        try:
            yield Room(store, journal, dispatch)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await journal.settle()
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)


async def held(slot: ScriptedSlot, count: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(slot.jobs) < count:
            await asyncio.sleep(0.005)


async def test_higher_priority_runs_first(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        first, _ = await here.dispatch.submit(spec())
        await held(slot)
        low, _ = await here.dispatch.submit(spec(priority=-1))
        high, _ = await here.dispatch.submit(spec(priority=9))
        assert here.dispatch.seen(low).queue_position == 2
        slot.let_go.set()
        for experiment in (first, low, high):
            await here.ended(experiment)
    assert [job.experiment_id for job in slot.jobs] == [first.id, high.id, low.id]


async def test_a_lost_worker_is_retried_once_and_then_told(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[LOST, LOST])
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec())
        ended = await here.ended(experiment)
    assert (ended.status, ended.attempt) == ("failed", 2)
    assert ended.error == LOST.error


async def test_a_solvers_failure_is_not_retried(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[FAILED])
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec())
        assert (await here.ended(experiment)).attempt == 1


async def test_a_deadline_ends_an_attempt_as_timeout(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec(limits=Limits(wall_s=0.05)))
        ended = await here.ended(experiment)
    assert ended.error is not None
    assert ended.error.code == "timeout"


async def test_cancel_is_idempotent_in_every_state(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        running, _ = await here.dispatch.submit(spec())
        await held(slot)
        waiting, _ = await here.dispatch.submit(spec())
        for experiment in (waiting, running):
            for _ in range(3):
                await here.dispatch.cancel(experiment.id)
            assert (await here.ended(experiment)).status == "cancelled"
        with pytest.raises(NotFound):
            await here.dispatch.cancel("none")
        assert len(await here.store.events(waiting.id, 0, 100)) == 2


async def test_a_loss_after_a_cancel_is_a_cancel(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[LOST])
    slot.let_go.clear()
    slot.cancel = slot.let_go.set  # type: ignore[method-assign]  # the worker dies of the cancel
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec())
        await held(slot)
        await here.dispatch.cancel(experiment.id)
        assert (await here.ended(experiment)).status == "cancelled"


async def test_a_full_line_refuses(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot, max_waiting=1) as here:
        await here.dispatch.submit(spec())
        await held(slot)
        await here.dispatch.submit(spec())
        with pytest.raises(Unavailable, match="which is the limit"):
            await here.dispatch.submit(spec())


async def test_what_ran_at_shutdown_runs_again_and_does_not_count_as_a_loss(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec())
        await held(slot)
    again = ScriptedSlot("s")
    async with room(tmp_path, again) as here:
        ended = await here.ended(experiment)
    assert (ended.status, ended.attempt, ended.losses) == ("completed", 2, 0)


async def test_only_what_failed_or_was_cancelled_can_be_retried(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[FAILED])
    async with room(tmp_path, slot) as here:
        experiment, _ = await here.dispatch.submit(spec())
        await here.ended(experiment)
        assert (await here.dispatch.retry(experiment.id)).attempt == 2
        assert (await here.ended(experiment)).status == "completed"
        with pytest.raises(Conflict):
            await here.dispatch.retry(experiment.id)
        with pytest.raises(NotFound):
            await here.dispatch.retry("none")
