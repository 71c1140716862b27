"""Old logs are thinned and say so; experiments go out as lines of JSON and come in again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from kanad_server import archive, clock
from kanad_server.archive import Counts
from kanad_server.engines import Completed, Failed
from kanad_server.errors import KanadError
from kanad_server.store.thinning import HEAD, TAIL
from kanad_server.testing import ScriptedSlot
from kanad_server.wire import Error, Experiment, Thinned
from tests.support.room import Room, alone, room

STEPS = 50
RESULT = b'{"energy_hartree":-1.0,"converged":true}'


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[Room, Experiment]]:
    """A room with one experiment that has ended; its log: two states, fifty iterations, the end."""
    async with room(tmp_path, ScriptedSlot("a", [Completed(-1.0, RESULT)], steps=STEPS)) as running:
        experiment = await running.ended(await running.submit(alone(name="N\u2082 \U0001f9ea", tags=("a", "b"))))
        yield running, experiment


async def bodies(running: Room, experiment: Experiment, after: int = 0) -> list[dict[str, object]]:
    return [msgspec.json.decode(body) for _, body in await running.store.events(experiment.id, after, 1_000)]


async def test_a_thinned_log_says_what_is_missing_from_wherever_it_is_read(kept: tuple[Room, Experiment]) -> None:
    running, experiment = kept
    before = await bodies(running, experiment)
    assert await running.store.thin(clock.days_ago(1), 10) == 0  # it ended just now
    assert await bodies(running, experiment) == before

    assert await running.store.thin(clock.days_ago(-1), 10) == 1
    after = await bodies(running, experiment)
    first, last = 2 + HEAD + 1, 2 + STEPS - TAIL
    marker = after[2 + HEAD]
    assert marker | {"thinned_at": ""} == msgspec.to_builtins(
        Thinned(
            experiment_id=experiment.id, attempt=1, seq=last, time=str(before[last - 1]["time"]),
            first_seq=first, removed=last - first + 1, thinned_at="",
        )
    )  # fmt: skip
    assert after[: 2 + HEAD] + after[2 + HEAD + 1 :] == before[: first - 1] + before[last:]
    for inside in (first - 1, first, last - 1):  # a reader that had some of what is gone
        assert (await bodies(running, experiment, after=inside))[0] == marker
    assert (await bodies(running, experiment, after=last))[0]["seq"] == last + 1
    current = await running.journal.current(experiment.id)
    assert current == experiment
    assert await running.store.result(experiment.id) == RESULT.decode()
    assert await running.store.thin(clock.days_ago(-1), 10) == 0  # once is enough


async def test_a_log_that_goes_on_is_thinned_again_after_its_new_end(tmp_path: Path) -> None:
    failed = Failed(Error(code="not_converged", message="no"))
    slot = ScriptedSlot("a", [failed, Completed(-1.0, RESULT)], steps=STEPS)
    async with room(tmp_path, slot) as running:
        experiment = await running.ended(await running.submit(alone()))
        await running.store.thin(clock.days_ago(-1), 10)
        await running.dispatch.retry(experiment.id)
        experiment = await running.ended(experiment)
        assert await running.store.thin(clock.days_ago(-1), 10) == 1
        seq = 0
        for event in await bodies(running, experiment):
            assert event.get("first_seq", event["seq"]) == seq + 1
            seq = int(str(event["seq"]))
        assert seq == experiment.last_seq
        types = [event["type"] for event in await bodies(running, experiment)]
        assert types.count("thinned") == 2


async def test_what_was_exported_comes_in_again_to_the_last_byte(kept: tuple[Room, Experiment], tmp_path: Path) -> None:
    running, experiment = kept
    await running.store.thin(clock.days_ago(-1), 10)
    assert archive.export(tmp_path, tmp_path / "a.jsonl") == 1
    assert await running_elsewhere(tmp_path, tmp_path / "a.jsonl") == Counts(imported=0, present=1, unfinished=0)

    assert await running_elsewhere(tmp_path / "new", tmp_path / "a.jsonl") == Counts(
        imported=1, present=0, unfinished=0
    )
    assert archive.export(tmp_path / "new", tmp_path / "b.jsonl") == 1
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    async with room(tmp_path / "new") as new:
        assert await new.journal.current(experiment.id) == experiment
        assert await new.store.result(experiment.id) == RESULT.decode()


async def running_elsewhere(data: Path, file: Path, owner: str | None = None) -> Counts:
    """The import, in a thread: it opens the store with a loop of its own."""
    return await asyncio.to_thread(archive.take_in, data, file, owner)


async def test_what_has_not_ended_is_left_out_and_an_owner_can_be_named(tmp_path: Path) -> None:
    slot = ScriptedSlot("a")
    slot.let_go.clear()
    async with room(tmp_path, slot) as running:
        await running.submit(alone())
        waiting = await running.submit(alone())
        await running.dispatch.cancel(waiting.id)
        assert archive.export(tmp_path, tmp_path / "a.jsonl") == 2
        slot.let_go.set()
    counts = await running_elsewhere(tmp_path / "new", tmp_path / "a.jsonl", "ana")
    assert counts == Counts(imported=1, present=0, unfinished=1)
    with closing(sqlite3.connect(tmp_path / "new/kanad.sqlite")) as connection:
        assert connection.execute("SELECT id, owner FROM experiments").fetchall() == [(waiting.id, "ana")]


@pytest.mark.parametrize(
    ("place", "value"),
    [("format", "other"), ("experiment.id", "../../x"), ("experiment.owner", "a b"), ("experiment.status", "failed"),
     ("experiment.spec_hash", "x"), ("experiment.last_seq", 99), ("events", []), ("result", None), ("more", 1),
     ("experiment.spec.basis", 7), ("experiment.campaign", "x")],
)  # fmt: skip
async def test_a_line_that_contradicts_itself_is_refused_by_its_number_and_nothing_is_kept(
    kept: tuple[Room, Experiment], tmp_path: Path, place: str, value: object
) -> None:
    archive.export(tmp_path, tmp_path / "a.jsonl")
    good = (tmp_path / "a.jsonl").read_text()
    line = json.loads(good)
    *path, name = place.split(".")
    inner = line
    for step in path:
        inner = inner[step]
    inner[name] = value
    (tmp_path / "bad.jsonl").write_text(good + json.dumps(line) + "\n")
    with pytest.raises(KanadError, match="line 2: "):
        archive.take_in(tmp_path / "new", tmp_path / "bad.jsonl")
    assert not (tmp_path / "new").exists()


def test_nothing_is_replaced_and_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(KanadError, match="nothing to export"):
        archive.export(tmp_path, tmp_path / "a.jsonl")
    with pytest.raises(KanadError, match="cannot be read"):
        archive.take_in(tmp_path, tmp_path / "a.jsonl")
