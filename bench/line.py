"""What the waiting line costs, from a thousand waiting to a million, in microseconds. `python bench/line.py`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from kanad_server.clock import new_id
from kanad_server.line import WaitingLine

OWNERS = 20
ROUNDS = 2_000


def microseconds(work: Callable[[], object]) -> float:
    """For each of ROUNDS calls, on average."""
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        work()
    return 1e6 * (time.perf_counter() - begun) / ROUNDS


async def measure(waiting: int) -> None:
    """One row of the table."""
    chance = random.Random(1)
    line = WaitingLine()
    ids = [new_id() for _ in range(waiting)]
    for number, waiting_id in enumerate(ids):
        line.put(waiting_id, 0, str(number % OWNERS))

    def put() -> None:
        line.put(new_id(), 0, "0")

    put_us = microseconds(put)
    position_us = microseconds(lambda: line.position(chance.choice(ids)))
    begun = time.perf_counter()
    for _ in range(min(ROUNDS, waiting // 4)):
        await line.take()
    take_us = 1e6 * (time.perf_counter() - begun) / min(ROUNDS, waiting // 4)
    remove_us = microseconds(lambda: line.remove(chance.choice(ids)))
    print(f"{waiting:>9} {put_us:8.1f} {take_us:8.1f} {remove_us:8.1f} {position_us:8.1f}", flush=True)


def main() -> None:
    """Print the table."""
    print(f"microseconds, {OWNERS} owners\n  waiting      put     take   remove position")
    for waiting in (1_000, 10_000, 100_000, 1_000_000):
        asyncio.run(measure(waiting))


if __name__ == "__main__":
    main()
