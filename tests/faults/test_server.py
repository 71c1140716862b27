"""Faults of the server process itself: killed at any instant, ended in many ways, started twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.faults import figures
from tests.faults.scale import count, within
from tests.faults.world import API, World, probe
from tests.support.server import is_alive, wait_for

MakeWorld = Callable[..., World]


def test_r1_crash_loop(make_world: MakeWorld) -> None:
    """kill -9 at random instants, some in the first moments of a start: nothing is lost, nothing comes twice."""
    world = make_world("--slots", "2", scenario="R1")
    kills, early = count(50, 6), count(5, 2)
    instants = [world.random.uniform(0.05, 1.2) for _ in range(kills - early)]
    specs = [probe(steps=20, step_ms=20) for _ in range(count(200, 40))]
    starts: list[float] = []
    done = threading.Event()

    def crash() -> None:
        for number, instant in enumerate(instants):
            time.sleep(instant)
            world.server.kill()
            if number < early:  # and again, before it listens
                world.server.spawn(world.port)
                time.sleep(world.random.uniform(0.0, 0.3))
                world.server.kill()
            starts.append(world.restart())
        done.set()

    crashing = threading.Thread(target=crash)
    crashing.start()
    try:
        world.submit_all(specs)
        wait_for(done.is_set, "the last crash", 300)
    finally:
        crashing.join()
    measured = world.finish(240)
    assert len(world.witness.ids_of_key) == len(specs)
    assert max(starts) <= within(3.0)
    figures.record("R1", "kill -9 of the server", kills=kills, ready_s_max=max(starts), **measured)


def test_r6_drain_with_everything_open(make_world: MakeWorld) -> None:
    """SIGTERM with viewers, one that does not read, a slow request and half a body: an end in time, on any Python."""
    world = make_world("--slots", "2", scenario="R6")
    ids = [world.submit(probe(steps=5_000, step_ms=5), key=f"r6-{i}") for i in range(20)]
    running = sorted(world.busy_workers())
    for experiment_id in running:
        world.server.running(experiment_id)
    closed: list[int | None] = []
    with ExitStack() as stack:
        viewers = [stack.enter_context(connect(world.stream(running[0]), proxy=None)) for _ in range(count(200, 30))]
        stack.enter_context(world.deaf_viewer(running[1]))
        half = stack.enter_context(socket.create_connection(("127.0.0.1", world.port)))
        half.sendall(b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        slow = threading.Thread(target=world.call, args=("GET", f"{API}/{running[0]}/events?limit=10000"))
        slow.start()
        readiness: list[int] = []
        began = time.monotonic()
        world.server.process.send_signal(signal.SIGTERM)
        watching = threading.Thread(target=_watch_readiness, args=(world, readiness))
        watching.start()
        code = world.server.process.wait(60)
        took = time.monotonic() - began
        slow.join()
        watching.join()
        for viewer in viewers:
            with suppress(ConnectionClosed, TimeoutError):
                while True:
                    viewer.recv(timeout=5)
            closed.append(viewer.close_code)
    world.server.stop()
    assert code == 0, world.server.log()[-3000:]
    assert took <= within(5.0)
    assert set(readiness) <= {200, 503, 0}
    assert 503 in readiness or 200 not in readiness[1:]
    told = sum(number in (1001, 1012) for number in closed)
    assert told == len(closed), closed
    world.restart()
    for experiment_id in ids:
        world.call("POST", f"{API}/{experiment_id}/cancel")
    measured = world.finish()
    figures.record("R6", "SIGTERM with everything open", viewers_told=told, exit_s=took, exit_code=code, **measured)


def _watch_readiness(world: World, seen: list[int]) -> None:
    while world.server.process.poll() is None:
        seen.append(world.call("GET", "/health/ready", timeout_s=1.0).status)
        time.sleep(0.02)


def test_r7_second_signal(make_world: MakeWorld) -> None:
    """A second signal, and a signal while it starts: an end at once, and whole data."""
    world = make_world("--slots", "2", scenario="R7")
    busy = world.submit(probe(steps=3_000, step_ms=10), key="busy")
    world.server.running(busy)
    times = []
    with world.deaf_viewer(busy):
        began = time.monotonic()
        world.server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with suppress(ProcessLookupError):
            world.server.process.send_signal(signal.SIGINT)
        world.server.process.wait(60)
        times.append(time.monotonic() - began)
    world.server.stop()
    for _ in range(count(20, 6)):
        world.server.spawn(world.port)
        time.sleep(world.random.uniform(0.1, 1.0))
        began = time.monotonic()
        world.server.process.send_signal(signal.SIGTERM)
        world.server.process.wait(60)
        times.append(time.monotonic() - began)
        world.server.stop()
        assert not world.server.all_processes() or wait_for(lambda: not world.server.all_processes(), "the end", 5)
    world.restart()
    world.call("POST", f"{API}/{busy}/cancel")
    measured = world.finish()
    assert max(times) <= within(3.0)
    figures.record("R7", "a second signal; signals during starts", ends=len(times), exit_s_max=max(times), **measured)


def test_r8_orphans(make_world: MakeWorld, tmp_path: Path) -> None:
    """kill -9 of the server: its workers and temporary files go with it, its directory is free at once."""
    (temporary := tmp_path / "temporary").mkdir()
    world = make_world("--slots", "2", scenario="R8", environment={"TMPDIR": str(temporary)})
    gone, starts = [], []
    for number in range(count(10, 3)):
        faults = ("busy_c_loop", "none")
        ids = [world.submit(probe(steps=5_000, step_ms=5, fault=kind), key=f"{number}-{kind}") for kind in faults]
        wait_for(lambda: len(world.busy_workers()) == 2, "two busy workers")
        workers = list(world.busy_workers().values())
        world.server.kill()
        began = time.monotonic()
        wait_for(partial(_all_gone, workers), "the workers to die", within(2.0))
        gone.append(time.monotonic() - began)
        wait_for(lambda: not list(temporary.iterdir()), "the temporary files to go", within(2.0))
        starts.append(world.restart())
        for experiment_id in ids:
            world.call("POST", f"{API}/{experiment_id}/cancel")
            world.ended(experiment_id)
    measured = world.finish()
    figures.record("R8", "workers of a killed server", kills=len(gone), gone_s_max=max(gone), **measured)


def _all_gone(pids: list[int]) -> bool:
    return not any(map(is_alive, pids))


def test_r9_two_servers(make_world: MakeWorld, tmp_path: Path) -> None:
    """More servers on the same directory, through a symbolic link and at the same time: one owner, one clear line."""
    world = make_world("--slots", "2", scenario="R9")
    ids = [world.submit(probe(steps=20, step_ms=20), key=f"r9-{i}") for i in range(count(50, 10))]
    link = tmp_path / "link"
    link.symlink_to(world.server.data)
    times = []
    repeats = count(10)
    for _ in range(repeats):
        before = _files(world.server.data)
        for at_once, directory in ((1, world.server.data), (1, link), (4, link)):
            began = time.monotonic()
            others = [_another(directory) for _ in range(at_once)]
            for other in others:
                out, err = other.communicate(timeout=60)
                assert (other.returncode, out) == (1, ""), err
                assert "another kanad-server uses the data directory" in err
                assert len(err.strip().splitlines()) == 1
            if at_once == 1:
                times.append(time.monotonic() - began)
        assert _files(world.server.data) == before
        assert world.call("GET", "/health/ready").status == 200
    assert {world.ended(experiment_id)["attempt"] for experiment_id in ids} == {1}
    measured = world.finish()
    owners = _ten_at_once(tmp_path / "fresh")
    assert owners == 1
    assert max(times) <= within(2.0)
    figures.record(
        "R9", "more servers on the same directory", refused=6 * repeats, refused_s_max=max(times),
        owners_of_ten_at_once=owners, **measured,
    )  # fmt: skip


def _another(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--data-dir", str(directory)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _files(directory: Path) -> list[tuple[str, int]]:
    """Names and inodes of what a second server could touch."""
    return sorted((entry.name, entry.stat().st_ino) for entry in directory.iterdir())


def _ten_at_once(directory: Path) -> int:
    """How many of ten servers own a new directory; the others have to go."""
    servers = [_another(directory) for _ in range(10)]
    try:
        wait_for(lambda: sum(server.poll() is None for server in servers) <= 1, "nine to go", 60)
        (owner,) = [server for server in servers if server.poll() is None]
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("kanad-server listening")
        os.kill(owner.pid, signal.SIGTERM)
        assert owner.wait(30) == 0
        return sum(server.returncode == 0 for server in servers)
    finally:
        for server in servers:
            if server.poll() is None:
                server.kill()
            server.communicate()
