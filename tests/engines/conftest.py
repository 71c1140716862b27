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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each, shared by the tests that do not hurt them."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.add_worker()
        running.add_worker()
        yield running


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
            engine = ScriptedEngine(ScriptedSlot("a"), ScriptedSlot("b"))
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
