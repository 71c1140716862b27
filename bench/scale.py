"""What dispatch costs for each experiment, from ten slots to a thousand and from a thousand waiting to a million.

The dispatcher, the journal and the line are the real ones, and the collector is set as the server sets it; slots are
scripted (`kanad_server.testing`), and the store forgets, so that the figure is the dispatcher's and not the disk's.
Those that wait beyond the measured ones are put into the line itself, in the same lists, behind them (they never run).
All rows are there at once and take turns, so that what disturbs the machine disturbs them alike.
`python bench/scale.py [largest line]`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from kanad_server.dispatch import Dispatch
from kanad_server.hub import Hub
from kanad_server.journal import Journal
from kanad_server.serve import _spare_the_collector
from kanad_server.store import Commit, Store
from kanad_server.testing import ScriptedEngine, ScriptedSlot, spec

ROWS = ((10, 1_000), (100, 1_000), (1_000, 1_000), (1_000, 10_000), (1_000, 100_000), (1_000, 1_000_000))
"""Slots, and what waits behind them."""
OWNERS = 20
BATCH = 50
DONE = 8_000
ROUNDS = 5
BEFORE = 4_000
"""Experiments that are through before the clock starts: as many more are under way as the journal has room for, then
and when it stops."""


class Forgetful:
    """A store that keeps nothing."""

    async def commit(self, commit: Commit) -> None:
        """Nothing."""

    async def active(self) -> list[Any]:
        """Nothing."""
        return []

    async def reusable(self, owner: str, hashes: Sequence[str], made_with: str) -> dict[str, Any]:
        """Nothing."""
        return {}

    async def get(self, experiment_id: str) -> None:
        """Nothing."""


class World:
    """A dispatcher with its slots and its line; nothing runs but in `microseconds`."""

    def __init__(self, slots: int, waiting: int) -> None:
        self.slots, self.waiting = slots, waiting
        self.journal = Journal(cast("Store", Forgetful()), Hub())
        self.journal.on_status = self._count
        self._engine = ScriptedEngine()
        self.dispatch = Dispatch(
            self.journal, self._engine, max_attempts=2, max_waiting=10**7, max_waiting_per_person=10**7
        )
        self._ended = 0
        self._numbers = iter(range(0, 10**9, BATCH))
        self.measured: list[float] = []

    def _count(self, experiment: Any) -> None:
        self._ended += experiment.is_final

    async def fill(self) -> None:
        """Let `waiting` wait behind all that will be measured: ids sort by age."""
        first = (await self._post(BATCH))[0]
        need = self.dispatch._need_of(first)
        for number in range(self.waiting):
            owner = str(number % OWNERS)
            self.dispatch._crowd.add(f"z{number:07d}", owner)
            self.dispatch._line.put(f"z{number:07d}", 0, owner, need)

    async def microseconds(self) -> None:
        """Measure the CPU time of the whole process for each experiment that is taken, run and ended."""
        await self._post(2 * BEFORE + DONE)
        before = self._ended
        self._engine.show(*(ScriptedSlot(str(number), steps=1) for number in range(self.slots)))
        await self._until(before + BEFORE)
        begun, first = time.process_time(), self._ended
        await self._until(first + DONE)
        self.measured.append(1e6 * (time.process_time() - begun) / (self._ended - first))
        self._engine.show()
        await self.journal.settle()

    async def _post(self, count: int) -> list[Any]:
        accepted: list[Any] = []
        while len(accepted) < count:
            owner = str(next(self._numbers) // BATCH % OWNERS)
            accepted += (await self.dispatch.submit([spec(fresh=True)] * BATCH, owner=owner))[0]
        return accepted

    async def _until(self, ended: int) -> None:
        while self._ended < ended:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def alive(slots: int, waiting: int) -> AsyncIterator[World]:
    """A world with its two tasks."""
    world = World(slots, waiting)
    tasks = [asyncio.create_task(world.journal.run()), asyncio.create_task(world.dispatch.run())]
    await world.fill()
    yield world
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def measure(largest: int) -> None:
    """Print the table."""
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(alive(*row)) for row in ROWS if row[1] <= largest]
        for _ in range(ROUNDS):
            for world in worlds:
                await world.microseconds()
    print(f"CPU microseconds for each experiment, {OWNERS} owners, {ROUNDS} rounds")
    print("    slots    behind    least   median")
    for world in worlds:
        least, median = min(world.measured), statistics.median(world.measured)
        print(f"{world.slots:9} {world.waiting:9} {least:8.0f} {median:8.0f}", flush=True)


def main() -> None:
    """Measure as a server is: its collector, and its loop."""
    _spare_the_collector()
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))


if __name__ == "__main__":
    main()
