"""The SQLite store over a real file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from kanad_server import clock
from kanad_server.errors import Malformed, StartRefused
from kanad_server.store import Commit, Filter, SqliteStore
from kanad_server.testing import spec
from kanad_server.wire import Experiment, Percentage


def experiment(number: int, **changes: object) -> Experiment:
    made = Experiment(
        id=clock.new_id(), name=f"n{number}", tags=("even",) if number % 2 == 0 else (), priority=0, status="queued",
        spec=spec(), spec_hash="hash", attempt=1, progress=Percentage(), last_seq=1,
        created_at="2026-01-01T00:00:00.000Z",
    )  # fmt: skip
    return replace(made, **changes)


def commit_of(*experiments: Experiment) -> Commit:
    return Commit(inserts=experiments, events=[(e.id, 1, '{"seq":1}') for e in experiments], durable=True)


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    one = experiment(1)
    async with SqliteStore(tmp_path / "db") as store:
        await store.commit(commit_of(one))
        done = replace(one, status="completed", energy_hartree=-1.0, finished_at=clock.now())
        await store.commit(
            Commit(updates=[done], results=[(one.id, b'{"x":1}')], keys=[("local", "k", 0, "h", one.id)])
        )
    async with SqliteStore(tmp_path / "db") as store:
        found = await store.get(one.id)
        assert found is not None
        assert (found.status, found.energy_hartree) == ("completed", -1.0)
        assert await store.result(one.id) == '{"x":1}'
        assert await store.key("local", "k") == ("h", [one.id])
        assert await store.key("eve", "k") is None
        assert await store.active() == []
        assert await store.counts() == {"completed": 1}


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    from kanad_server.errors import Unavailable

    async with SqliteStore(tmp_path / "db") as store:
        one, two = experiment(1), experiment(2)
        await store.commit(commit_of(one))
        with pytest.raises(Unavailable):
            await store.commit(commit_of(two, one))  # the second one is there already
        assert await store.get(two.id) is None
        await store.commit(commit_of(two))
        assert [e.id for e in await store.active()] == [one.id, two.id]


async def test_events_are_read_by_their_bytes_too(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        one = experiment(1)
        await store.commit(commit_of(one))
        bodies = ["x" * size for size in (10, 10, 500, 10)]
        await store.commit(Commit(events=[(one.id, seq, body) for seq, body in enumerate(bodies, 2)]))
        found = [[seq for seq, _ in await store.events(one.id, after, 10, 30)] for after in range(6)]
        assert found == [[1, 2, 3], [2, 3], [3], [4], [5], []]


async def test_a_deleted_experiment_leaves_no_trace(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        one = experiment(1)
        await store.commit(commit_of(one))
        await store.commit(Commit(results=[(one.id, b"{}")], keys=[("local", "k", 0, "h", one.id)]))
        await store.delete(one.id)
        assert await store.get(one.id) is None
        assert await store.events(one.id, 0, 10) == []
        assert await store.result(one.id) is None


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "finished_at", "-energy_hartree", "name", "-name"])
async def test_pages_join_without_gap_or_repeat_while_others_are_added(tmp_path: Path, sort: str) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        made = [experiment(number, energy_hartree=-float(number % 3)) for number in range(11)]
        await store.commit(commit_of(*made))
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page, cursor = await store.page(Filter(sort=sort, limit=3, cursor=cursor))  # type: ignore[arg-type]  # a literal
            seen += [e.id for e in page]
            await store.commit(commit_of(experiment(99, name="zzz" if sort == "name" else "")))
            if cursor is None or len(seen) > 60:
                break
        old = {e.id for e in made}
        assert sorted(set(seen) & old) == sorted(old)
        assert len(seen) == len(set(seen))


async def test_an_owner_sees_only_what_is_owned(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        await store.commit(commit_of(experiment(1, owner="ana"), experiment(2, owner="eve"), experiment(3)))
        assert [e.name for e in (await store.page(Filter(owner="ana")))[0]] == ["n1"]
        assert [e.owner for e in await store.active()] == ["ana", "eve", "local"]


async def test_filters_narrow(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        await store.commit(commit_of(*(experiment(number) for number in range(4))))
        names = {"tag": [e.name for e in (await store.page(Filter(tag="even", sort="name")))[0]]}
        assert names == {"tag": ["n0", "n2"]}
        assert [e.name for e in (await store.page(Filter(q="N3")))[0]] == ["n3"]
        assert (await store.page(Filter(q="%")))[0] == []
        (one,) = (await store.page(Filter(q="n3")))[0]
        assert (await store.page(Filter(q=one.id)))[0] == [one]
        assert (await store.page(Filter(status="failed")))[0] == []


@pytest.mark.parametrize("cursor", ["", "x", "W10=", "bnVsbA==", "WzEsMl0"])
async def test_a_cursor_of_another_make_is_refused(tmp_path: Path, cursor: str) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        with pytest.raises(Malformed):
            await store.page(Filter(cursor=cursor))


async def test_a_newer_schema_a_foreign_file_and_a_damaged_one_are_left_alone(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "newer"):
        pass
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    (tmp_path / "foreign").write_text("this is no database at all, and it is long enough to be looked at")
    for name in ("newer", "foreign"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(StartRefused):
            await SqliteStore(tmp_path / name).__aenter__()
        assert (tmp_path / name).read_bytes() == before
