"""Steady work for a long time: what the server holds stays as it was; and then some faults, as they come."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.faults import figures
from tests.faults.scale import PATIENCE, count, within
from tests.faults.world import World, percentile, probe

RATE = 5.0
"""Experiments a second."""
SAMPLE_S = 2.0
WARM = 0.25
"""The share of the time after which what is held may not grow any more."""
MB_PER_H = 1.0
SHORT_MB = 4.0
"""In runs of minutes an hour's growth is less than the noise; this much in all is too much there."""
WARM_UP = 10_000
"""Experiments after which the heap was seen to grow no more: 4 kB in the 6,000 that followed."""
FAULTS = 10


class Sample(NamedTuple):
    """What the server process held at a moment."""

    at_s: float
    rss_mb: float
    fds: int
    threads: int
    tasks: float
    wal_mb: float


def _sample(world: World, began: float) -> Sample:
    pid, wal = world.server.process.pid, world.server.data / "kanad.sqlite-wal"
    held = world.holds()
    threads = len(os.listdir(f"/proc/{pid}/task"))
    wal_mb = wal.stat().st_size / 2**20
    return Sample(time.monotonic() - began, held.rss_mb, held.fds, threads, world.metric("kanad_tasks") or 0.0, wal_mb)


class Stream(threading.Thread):
    """Posts at a steady pace until told to stop; notes how long each took to its end, unless the server is killed."""

    def __init__(self, world: World, keys: str, *, waits: bool) -> None:
        super().__init__(name="soak")
        self.times: list[tuple[float, float]] = []
        self.stop = threading.Event()
        self._world = world
        self._keys = keys
        self._waits = waits

    def run(self) -> None:
        """Post."""
        began = time.monotonic()
        number = 0
        while not self.stop.wait(max(0.0, began + number / RATE - time.monotonic())):
            posted = time.monotonic()
            name = self._world.submit(probe(steps=10, step_ms=5), key=f"{self._keys}-{number}")
            if self._waits and number % 5 == 0:
                _watch(self._world, name)
            elif self._waits:
                self._world.ended(name)
            self.times.append((posted - began, time.monotonic() - posted))
            number += 1


def _watch(world: World, name: str) -> None:
    with suppress(OSError, WebSocketException), connect(world.stream(name), proxy=None) as line:
        for _ in line:
            pass


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_r26_soak(make_world: Callable[..., World]) -> None:
    """After a warm-up, five experiments a second for twenty minutes: memory, files, threads, tasks and times stay; then
    ten faults.
    """
    world = make_world("--slots", "2", scenario="R26")
    warmed = _warm(world)
    seconds = count(1_200, 180)
    samples, stream = _soak(world, seconds)
    late = [sample for sample in samples if sample.at_s >= WARM * seconds]
    slope = statistics.linear_regression([one.at_s / 3_600 for one in late], [one.rss_mb for one in late]).slope
    grown = late[-1].rss_mb - late[0].rss_mb
    first = [took for at, took in stream.times if at < WARM * seconds]
    last = [took for at, took in stream.times if at >= (1 - WARM) * seconds]
    _some_faults(world)
    measured = world.finish()
    figures.record(
        "R26", "steady work, then ten faults", warm_up=warmed, minutes=seconds / 60, per_s=len(stream.times) / seconds,
        rss_mb=late[-1].rss_mb, rss_mb_per_h=slope, rss_grown_mb=grown, **_ranges(late),
        end_s_p99_first=percentile(first, 0.99), end_s_p99_last=percentile(last, 0.99), faults=FAULTS, **measured,
    )  # fmt: skip
    assert slope < MB_PER_H or grown < SHORT_MB
    for name in ("fds", "threads", "tasks"):
        low, high = min(getattr(one, name) for one in late), max(getattr(one, name) for one in late)
        assert high - low <= 10, (name, low, high)
    assert max(one.wal_mb for one in late) <= 16
    assert percentile(last, 0.99) <= 1.2 * PATIENCE * percentile(first, 0.99)


def _warm(world: World) -> int:
    """As many experiments as the heap takes to find its size, watched, one right after the other; how many."""
    experiments = count(WARM_UP, 400)
    spec = probe(steps=10, step_ms=0)
    world.in_threads(lambda number: _watch(world, world.submit(spec, key=f"warm-{number}")), range(experiments), 4)
    return experiments


def _soak(world: World, seconds: int) -> tuple[list[Sample], Stream]:
    began = time.monotonic()
    stream = Stream(world, "soak", waits=True)
    stream.start()
    samples = []
    while time.monotonic() < began + seconds:
        samples.append(_sample(world, began))
        time.sleep(SAMPLE_S)
    stream.stop.set()
    stream.join(within(30))
    return samples, stream


def _ranges(samples: list[Sample]) -> dict[str, str]:
    """The least and the most of what should stay."""
    found = {}
    for name in ("fds", "threads", "tasks"):
        values = [getattr(sample, name) for sample in samples]
        found[name] = f"{min(values):g} to {max(values):g}"
    return found | {"wal_mb_max": f"{max(sample.wal_mb for sample in samples):.1f}"}


def _some_faults(world: World) -> None:
    """Ten of those of R1, R2, R15 and R16, in any order, while work goes on."""
    stream = Stream(world, "faults", waits=False)
    stream.start()
    try:
        for _ in range(FAULTS):
            time.sleep(world.random.uniform(0.2, 1.5))
            world.random.choice((_kill_server, _kill_worker, _deaf_viewer))(world)
    finally:
        stream.stop.set()
        stream.join(within(60))


def _kill_server(world: World) -> None:
    world.server.kill()
    world.restart()


def _kill_worker(world: World) -> None:
    for pid in list(world.busy_workers().values())[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _deaf_viewer(world: World) -> None:
    running = world.submit(probe(steps=100, step_ms=5), key=f"deaf-{world.random.random()}")
    with world.deaf_viewer(running):
        world.ended(running)
