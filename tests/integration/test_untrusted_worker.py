"""A worker that somebody else has taken over costs its own attempt: nothing of it runs in the server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kanad_server.engines import Completed, Failed, Job, Lost, forkserver, outcomes, worker
from kanad_server.engines.desk import Desk, NoAnswer
from kanad_server.engines.outcomes import RaisedInWorker
from kanad_server.engines.slot import ProcessSlot
from kanad_server.testing import spec
from kanad_server.wire import Reported
from kanad_solvers.spec import Limits, Molecule, Probe, Solvent
from tests.support import compromised
from tests.support.server import is_alive

_unpickled: list[str] = []


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class":
        _unpickled.append(str(arguments))


sys.addaudithook(_listen)


class Open:
    """A gate that always lets in."""

    has_room = True

    async def room(self) -> None:
        """There is room."""


@asynccontextmanager
async def slot(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProcessSlot]:
    monkeypatch.setattr(outcomes, "OUTCOME_S", 1.0)
    monkeypatch.setattr("kanad_server.engines.slot.RETURN_S", 0.5)
    (path / "files").mkdir()
    forkserver.start(str(path))
    made = ProcessSlot("s", path, Open(), worker.Keeping(str(path / "files"), 5.0))
    await made.start()
    _unpickled.clear()
    try:
        yield made
    finally:
        await made.close()


def job(experiment_id: str = "healthy", steps: int = 2) -> Job:
    return Job(experiment_id=experiment_id, attempt=1, spec=spec(method=Probe(steps=steps, step_ms=0)))


@pytest.mark.parametrize("way", compromised.WAYS)
async def test_nothing_from_a_compromised_worker_runs_in_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with slot(tmp_path, monkeypatch) as taken:
        before = taken.view().pid
        with monkeypatch.context() as patch:
            patch.setattr(worker, "run", compromised.run)
            verdict = await asyncio.wait_for(taken.run(job(way), _nothing), 30)
        assert isinstance(verdict, Lost)
        assert verdict.error.code == "worker_lost"
        assert not (tmp_path / "files/canary").exists()
        assert _unpickled == []
        assert isinstance(await taken.run(job(), lambda _: None), Completed)
        assert before is not None
        assert not is_alive(before)
        assert taken.view().pid != before


@pytest.mark.parametrize("lie", [compromised.end_twice, compromised.end_and_stay, compromised.lie_in_wait])
async def test_what_comes_after_an_end_marker_is_not_the_next_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Callable[..., None]
) -> None:
    async with slot(tmp_path, monkeypatch) as lying:
        before = lying.view().pid
        with monkeypatch.context() as patch:
            patch.setattr(worker, "run", lie)
            first = await lying.run(job(), _nothing)
        heard: list[Reported] = []
        second = await asyncio.wait_for(lying.run(job(steps=3), heard.append), 30)
        assert isinstance(first, Completed)
        assert isinstance(second, Completed)
        assert first.energy_hartree == -1.0
        assert [type(report).__name__ for report in heard] == ["Stage", *["Convergence"] * 3, "Stage"]
        assert lying.view().pid != before


async def test_chemistry_that_gets_no_memory_in_c_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PySCF's code in C then calls `exit`, which would look like a crash."""
    async with slot(tmp_path, monkeypatch) as small:
        with monkeypatch.context() as patch:
            patch.setattr(worker, "run", compromised.give_up)
            verdict = await small.run(job(), _nothing)
        assert isinstance(verdict, Failed)
        assert verdict.error.code == "out_of_memory"
        assert isinstance(await small.run(job(), _nothing), Completed)


async def test_what_holds_more_than_its_grant_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanad_server.engines.slot.WEIGH_S", 0.02)
    water = Solvent(model="cpcm", name="water")  # takes 200 MB
    ethanol = spec(molecule=Molecule(smiles="CCO"), basis="6-31g*", solvent=water, limits=Limits(memory_mb=64))
    async with slot(tmp_path, monkeypatch) as small:
        verdict = await small.run(Job(experiment_id="heavy", attempt=1, spec=ethanol), _nothing)
        assert isinstance(verdict, Failed)
        assert verdict.error.code == "out_of_memory"
        assert "limits.memory_mb = 64" in verdict.error.message


async def test_a_fock_matrix_built_directly_fits_into_a_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reserves gigabytes of address space and touches few of them."""
    propane = spec(molecule=Molecule(smiles="CCC"), basis="cc-pvdz", limits=Limits(memory_mb=80))
    async with slot(tmp_path, monkeypatch) as small:
        assert isinstance(await small.run(Job(experiment_id="direct", attempt=1, spec=propane), _nothing), Completed)


async def test_the_desk_takes_bytes_alone(tmp_path: Path) -> None:
    forkserver.start(str(tmp_path))
    desk = Desk(tmp_path)
    try:
        with pytest.raises(RaisedInWorker, match="TypeError: a worker's functions return bytes"):
            await desk.ask(_a_set, b"")
        with pytest.raises(RaisedInWorker, match="ZeroDivisionError"):
            await desk.ask(_wrong, b"")
        with pytest.raises(NoAnswer):
            await desk.ask(_a_number, b"")
        with pytest.raises(NoAnswer):
            await desk.ask(_a_pickle, os.fsencode(tmp_path / "canary"))
        assert await desk.ask(_large, b"x") == b"x" * 10_000_000
        assert not (tmp_path / "canary").exists()
    finally:
        await desk.close()


def _nothing(progress: Reported) -> None:
    """Hears and does nothing."""


def _a_set(question: bytes) -> bytes:
    return {1, 2}  # type: ignore[return-value]  # that is the fault


def _wrong(question: bytes) -> bytes:
    return b"x" * (1 // 0)


def _a_number(question: bytes) -> bytes:
    return 7  # type: ignore[return-value]  # that is the fault


def _a_pickle(question: bytes) -> bytes:
    compromised.attack("a pickle", os.fsdecode(question))
    return b""


def _large(question: bytes) -> bytes:
    return question * 10_000_000
