"""Store, journal and dispatch with scripted slots, as unit tests run them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kanad_server.dispatch import Dispatch
from kanad_server.hub import Hub
from kanad_server.journal import Journal
from kanad_server.store import SqliteStore
from kanad_server.testing import ScriptedEngine, ScriptedSlot, spec
from kanad_server.wire import Experiment
from kanad_solvers.spec import Spec


class Room:
    """Store, journal and dispatch, running."""

    def __init__(self, store: SqliteStore, journal: Journal, dispatch: Dispatch, engine: ScriptedEngine) -> None:
        self.store, self.journal, self.dispatch, self.engine = store, journal, dispatch, engine

    async def submit(self, wanted: Spec, owner: str = "local") -> Experiment:
        """Accept one; the experiment as it was committed."""
        (experiment,), _ = await self.dispatch.submit([wanted], owner=owner)
        return experiment

    async def ended(self, experiment: Experiment) -> Experiment:
        async with asyncio.timeout(30):
            while True:
                current = await self.journal.current(experiment.id)
                assert current is not None
                if current.is_final:
                    return current
                await asyncio.sleep(0.005)


@asynccontextmanager
async def room(
    path: Path, *slots: ScriptedSlot, max_waiting: int = 1_000, max_waiting_per_person: int = 1_000
) -> AsyncIterator[Room]:
    async with SqliteStore(path / "kanad.sqlite") as store:
        journal = Journal(store, Hub())
        engine = ScriptedEngine(*slots)
        dispatch = Dispatch(
            journal,
            engine,
            max_attempts=2,
            max_waiting=max_waiting,
            max_waiting_per_person=max_waiting_per_person,
        )
        committing = asyncio.create_task(journal.run())
        running = asyncio.create_task(dispatch.run())
        try:
            await dispatch.has_taken_up.wait()
            yield Room(store, journal, dispatch, engine)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await journal.settle()
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)


def alone(**fields: object) -> Spec:
    """A spec whose work is not shared with equal ones."""
    return spec(fresh=True, **fields)


async def held(slot: ScriptedSlot, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while len(slot.jobs) < count:
            await asyncio.sleep(0.005)
