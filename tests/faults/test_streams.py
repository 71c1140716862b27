"""Faults of viewers and their lines: cut at random, never read, and the server killed under them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.faults import figures
from tests.faults.scale import PATIENCE, count, within
from tests.faults.world import World, percentile, probe
from tests.support.server import ENDED, wait_for

MakeWorld = Callable[..., World]


class Follower(threading.Thread):
    """A viewer that resumes behind its last event whatever happens to its line, and cuts it itself at some events."""

    def __init__(self, world: World, experiment_id: str, cuts: list[int]) -> None:
        super().__init__(name=f"follows {experiment_id}")
        self.events: list[dict[str, Any]] = []
        self.lines = 0
        self.is_done = False
        self._world = world
        self._id = experiment_id
        self._cuts = sorted(cuts)

    def run(self) -> None:
        """Follow to the end."""
        while not self.is_done:
            with suppress(OSError, WebSocketException):
                self._follow()
            time.sleep(0.02)

    def _follow(self) -> None:
        last = self.events[-1]["seq"] if self.events else 0
        with connect(f"{self._world.stream(self._id)}?after={last}", proxy=None, compression=None) as line:
            self.lines += 1
            for frame in line:
                decoded = msgspec.json.decode(frame)
                self.events += decoded if isinstance(decoded, list) else [decoded]
                if self._cuts and len(self.events) >= self._cuts[0]:
                    self._cuts.pop(0)
                    return _reset(line)
            self.is_done = line.close_code == 1000


def _reset(line: ClientConnection) -> None:
    """End the connection with RST instead of a goodbye."""
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        line.socket.shutdown(socket.SHUT_RD)
        line.socket.close()


def test_r15_cut_lines(make_world: MakeWorld) -> None:
    """Lines cut at random and the server killed: every viewer has every event once, in order."""
    world = make_world("--slots", "2", scenario="R15")
    steps, cuts, kills = count(500, 150), count(100, 12), count(3)
    ids = [world.submit(probe(steps=steps, step_ms=8), key=f"r15-{n}") for n in range(count(10, 4))]
    places: dict[tuple[str, int], list[int]] = {(name, n): [] for name in ids for n in range(count(4, 2))}
    for _ in range(cuts):
        places[world.random.choice(sorted(places))].append(world.random.randrange(1, steps))
    followers = [Follower(world, name, at) for (name, _), at in places.items()]
    for follower in followers:
        follower.start()
    for number in range(kills):
        wait_for(partial(_have_come, followers, steps * (number + 0.5) / (kills + 1)), "events to come", 300)
        world.server.kill()
        world.restart()
    for follower in followers:
        follower.join(within(120))
    assert all(follower.is_done for follower in followers)
    logs = {name: world.server.events(name) for name in ids}
    for (name, _), follower in zip(places, followers, strict=True):
        assert [event["seq"] for event in follower.events] == list(range(1, len(logs[name]) + 1))
        assert follower.events == logs[name]
        assert sum(event["type"] == "status" and event["status"] in ENDED for event in follower.events) == 1
    measured = world.finish()
    figures.record(
        "R15", "viewers' lines cut, server killed", viewers=len(followers), cuts=cuts, kills=kills,
        lines=sum(follower.lines for follower in followers), events=sum(len(f.events) for f in followers),
        gaps=0, doubles=0, **measured,
    )  # fmt: skip


def _have_come(followers: list[Follower], events_each: float) -> bool:
    return sum(len(follower.events) for follower in followers) > events_each * len(followers)


class Healthy(threading.Thread):
    """A viewer that reads all and notes how late each event came."""

    def __init__(self, address: str) -> None:
        super().__init__(name="healthy")
        self._address = address
        self.delays: list[float] = []
        self.seqs: list[int] = []

    def run(self) -> None:
        """Read to the end."""
        began = time.time()
        with connect(self._address, proxy=None, compression=None) as line:
            for frame in line:
                now = time.time()
                decoded = msgspec.json.decode(frame)
                for event in decoded if isinstance(decoded, list) else [decoded]:
                    self.seqs.append(event["seq"])
                    written = datetime.fromisoformat(event["time"]).timestamp()
                    if written > began:
                        self.delays.append(now - written)


def test_r16_viewers_that_never_read(make_world: MakeWorld) -> None:
    """Twenty viewers that read nothing: sent away; the others, the solver and the memory do not notice."""
    world = make_world("--slots", "2", scenario="R16")
    seconds = count(20, 8)
    spec = probe(steps=seconds * 2_000, step_ms=0.4, limits={"wall_s": 300, "memory_mb": 512})
    alone_s = _run_s(world.ended(world.submit(spec, key="alone"), 300))
    world.baseline = world.holds()
    watched = world.submit(spec, key="watched")
    world.server.running(watched)
    healthy = [Healthy(world.stream(watched)) for _ in range(5)]
    for viewer in healthy:
        viewer.start()
    with ExitStack() as held:
        began = time.monotonic()
        for _ in range(20):
            held.enter_context(world.deaf_viewer(watched))
        wait_for(lambda: (world.metric("kanad_viewers") or 0) >= 25, "the viewers to be there")
        grown = 0.0
        gone_s = None
        while world.get(watched)["status"] not in ENDED:
            grown = max(grown, world.holds().rss_mb - world.baseline.rss_mb)
            if gone_s is None and (world.metric("kanad_viewers") or 0) <= 5:
                gone_s = time.monotonic() - began
            time.sleep(0.1)
        wait_for(lambda: (world.metric("kanad_viewers") or 0) <= 0, "the deaf ones to be sent away", within(10.0))
        gone_s = gone_s or time.monotonic() - began
    for viewer in healthy:
        viewer.join(60)
    run_s = _run_s(world.get(watched))
    measured = world.finish()
    events = len(healthy[0].seqs)
    assert all(viewer.seqs == list(range(1, events + 1)) for viewer in healthy)
    delays = [delay for viewer in healthy for delay in viewer.delays]
    figures.record(
        "R16", "20 viewers that never read, 5 that do", events_per_s=events / run_s, viewers_mb=grown,
        delay_s_p99=percentile(delays, 0.99), sent_away_s=gone_s, run_s=run_s, run_alone_s=alone_s, **measured,
    )  # fmt: skip
    assert grown <= 30
    assert percentile(delays, 0.99) <= within(0.25)
    assert run_s <= alone_s * (1 + 0.1 * PATIENCE)


def _run_s(experiment: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(experiment[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()
