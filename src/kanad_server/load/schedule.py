"""When things should happen: an open loop, which does not wait for the server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator


def arrivals(rate: float, duration_s: float, *, poisson: bool, seed: int) -> Iterator[float]:
    """Seconds from the start at which things are due, rising, all below `duration_s`."""
    if rate <= 0:
        return
    draw = random.Random(seed)  # noqa: S311 (no secrets)
    number, due = 0, 0.0
    while True:
        due = due + draw.expovariate(rate) if poisson else number / rate
        if due >= duration_s:
            return
        yield due
        number += 1


class Clock:
    """Gives out the moments of a schedule, each once, to whoever is free.

    A moment is given even when nobody was free in time: what is measured from it then contains the wait, as a user's
    own clock would (no coordinated omission).
    """

    def __init__(self, moments: Iterator[float], started: float) -> None:
        self._moments = moments
        self._started = started

    def __aiter__(self) -> AsyncIterator[float]:
        return self

    async def __anext__(self) -> float:
        """The next intended moment, of `time.perf_counter`, once it has come."""
        moment = next(self._moments, None)
        if moment is None:
            raise StopAsyncIteration
        due = self._started + moment
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        return min(due, time.perf_counter())  # a loop's timers have a millisecond of play
