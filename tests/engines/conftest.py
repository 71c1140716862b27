"""Engines under test: each kind with two slots, and how its worker is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from kanad_server.dispatch import Dispatch
from kanad_server.engines import Engine, Slot
from kanad_server.engines.local import LocalEngine
from kanad_server.engines.worker import Keeping
from kanad_server.files import Files
from kanad_server.hub import Hub
from kanad_server.journal import Journal
from kanad_server.store import SqliteStore
from kanad_server.testing import ScriptedEngine, ScriptedSlot
from tests.engines.cluster import Cluster
from tests.support.room import Room
from tests.support.server import Server, wait_for


class Place(Room):
    """A room with an engine of real slots."""

    def __init__(self, *parts: Any, kill: Callable[[Slot], None], files: Files) -> None:
        super().__init__(*parts)
        self.kill, self.files = kill, files

    async def slot_of(self, experiment_id: str, *, with_pid: bool = True) -> Slot:
        """The slot that runs an experiment, once its worker is known."""
        async with asyncio.timeout(30):
            while True:
                for slot in self.engine.slots:
                    view = slot.view()
                    if view.experiment_id == experiment_id and (view.pid is not None or not with_pid):
                        return cast("Slot", slot)
                await asyncio.sleep(0.01)

    async def heard(self, experiment_id: str, count: int) -> None:
        """Wait until so many events are in the log."""
        async with asyncio.timeout(30):
            while len(await self.store.events(experiment_id, 0, count)) < count:
                await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster(_shared: Cluster) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each; what a test does to them is mended before the next one.

    Servers leave nothing behind in it.
    """
    _shared.mend(2)
    yield _shared
    if _shared.scheduler.poll() is None:
        wait_for(lambda: not _shared.left(), "the cluster to be empty")


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Makes servers of the test's own, with the given engine, and waits for as many slots."""
    started: list[Server] = []

    def start(engine: str, *options: str, slots: int = 2, **environment: str) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Server(folder, "--engine", engine, *options, environment=environment))
        started[-1].ready()
        wait_for(lambda: len(started[-1].system()["slots"]) >= slots, f"{slots} slots", 60)
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            assert server.stop() == 0, server.log()


def engine_of(server: Server) -> dict[str, Any]:
    """The cluster as the server shows it."""
    return next(engine for engine in server.system()["engines"] if engine["name"] == "dask")


def place_of(server: Server, experiment_id: str) -> str:
    """The slot that runs an experiment."""

    def look() -> str | None:
        slots = server.system()["slots"]
        return next((slot["name"] for slot in slots if slot["experiment_id"] == experiment_id), None)

    return str(wait_for(look, "a slot"))


def cancel(server: Server, *experiment_ids: str) -> None:
    """End what would go on for ever."""
    for experiment_id in experiment_ids:
        server.http.post(f"/api/v1/experiments/{experiment_id}/cancel")
    assert {server.ended(experiment_id)["status"] for experiment_id in experiment_ids} == {"cancelled"}


def check_log(server: Server, experiment_id: str) -> list[dict[str, Any]]:
    """No gap, no duplicate, one end; the steps of each attempt in order."""
    events = server.events(experiment_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event["type"] == "status" and event["status"] in ("completed", "failed")]
    assert [event["seq"] for event in ends] == [len(events)]
    for attempt in {event["attempt"] for event in events}:
        steps = [e["iteration"] for e in events if e["type"] == "convergence" and e["attempt"] == attempt]
        assert steps == list(range(1, len(steps) + 1))
    return events


def noted(cluster: Cluster, moment: str, experiment_id: str) -> int:
    """How often a solver has begun with it (`start`), or come to its end (`end`)."""
    lines = cluster.ledger.read_text().splitlines() if cluster.ledger.exists() else []
    return sum(line.startswith(f"{moment} {experiment_id} ") for line in lines)


@pytest.fixture(params=["scripted", "local", pytest.param("dask", marks=pytest.mark.dask)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """The same room on each kind of engine."""
    address = request.getfixturevalue("cluster").address if request.param == "dask" else None
    async with open_place(tmp_path, request.param, address) as here:
        yield here


@asynccontextmanager
async def open_place(path: Path, kind: str, address: str | None = None) -> AsyncIterator[Place]:
    """Store, journal, dispatch and an engine, running."""
    files = Files(path / "files")
    keeping = Keeping(str(files.directory), 5.0)
    async with SqliteStore(path / "kanad.sqlite") as store, AsyncExitStack() as stack:
        journal = Journal(store, Hub())
        kill, engine = _killed, cast("Any", None)
        if kind == "scripted":
            engine = ScriptedEngine(*(ScriptedSlot(name, holds_mb=200) for name in "ab"))
            kill = cast("Any", ScriptedSlot.die)
        elif kind == "local":
            engine = await stack.enter_async_context(LocalEngine(2, path / "scratch", journal, keeping))
        else:
            from kanad_server.engines.dask import DaskEngine

            assert address is not None
            engine = await stack.enter_async_context(DaskEngine(address, path.name, journal, keeping))
        dispatch = Dispatch(journal, cast("Engine", engine), max_attempts=2, max_waiting=1_000, files=files)
        warming = asyncio.create_task(engine.warm() if kind != "scripted" else asyncio.sleep(0), name="warm")
        committing = asyncio.create_task(journal.run(), name="journal")
        running = asyncio.create_task(dispatch.run(), name="dispatch")
        await dispatch.has_taken_up.wait()
        try:
            yield Place(store, journal, dispatch, engine, kill=kill, files=files)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            await journal.settle()
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)


def _killed(slot: Slot) -> None:
    pid = slot.view().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
