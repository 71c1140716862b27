"""What dispatch costs for each experiment, from ten slots to a thousand and from a thousand waiting to a million.

The dispatcher, the journal and the line are the real ones; slots are scripted (`kanad_server.testing`), and the store
forgets, so that the figure is the dispatcher's and not the disk's. Those that wait beyond the measured ones are put
into the line itself, in the same lists, behind them (they never run). `python bench/scale.py [largest line]`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

from kanad_server.dispatch import Dispatch
from kanad_server.hub import Hub
from kanad_server.journal import Journal
from kanad_server.store import Commit, Store
from kanad_server.testing import ScriptedEngine, ScriptedSlot, spec

OWNERS = 20
BATCH = 50
DONE = 2_000
WINDOWS = 5
"""So often so many are measured; the median is printed."""
BEFORE = 1_000
"""Experiments that warm up before the clock starts."""


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


async def microseconds(slots: int, waiting: int) -> float:
    """CPU time of the whole process for each experiment that is taken, run and ended."""
    journal = Journal(cast("Store", Forgetful()), Hub())
    engine = ScriptedEngine()
    dispatch = Dispatch(journal, engine, max_attempts=2, max_waiting=10**7, max_waiting_per_person=10**7)
    ended = 0

    def count(experiment: Any) -> None:
        nonlocal ended
        ended += experiment.is_final

    journal.on_status = count
    tasks = [asyncio.create_task(journal.run(), name="journal"), asyncio.create_task(dispatch.run(), name="dispatch")]
    wanted = spec(fresh=True)
    for number in range(0, BEFORE + WINDOWS * (DONE + slots) + 1_000, BATCH):
        (first_of_batch, *_), _ = await dispatch.submit([wanted] * BATCH, owner=str(number // BATCH % OWNERS))
    need = dispatch._need_of(first_of_batch)
    for number in range(waiting):  # behind the others, in the same lists: ids sort by age
        dispatch._crowd.add(f"z{number:07d}", str(number % OWNERS))
        dispatch._line.put(f"z{number:07d}", 0, str(number % OWNERS), need)
    gc.collect()
    gc.freeze()
    engine.show(*(ScriptedSlot(str(number), steps=1) for number in range(slots)))
    while ended < BEFORE:
        await asyncio.sleep(0.001)
    taken = []
    for _ in range(WINDOWS):
        begun, first = time.process_time(), ended
        while ended < first + DONE:
            await asyncio.sleep(0.001)
        taken.append(1e6 * (time.process_time() - begun) / (ended - first))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    gc.unfreeze()
    return statistics.median(taken)


def main() -> None:
    """Print the table."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"microseconds for each experiment, {OWNERS} owners\n    slots    behind       us")
    for slots, waiting in (
        (10, 1_000), (100, 1_000), (1_000, 1_000), (1_000, 10_000), (1_000, 100_000), (1_000, 1_000_000),
    ):  # fmt: skip
        if waiting <= largest:
            print(f"{slots:9} {waiting:9} {asyncio.run(microseconds(slots, waiting)):8.0f}", flush=True)
            gc.collect()


if __name__ == "__main__":
    main()
