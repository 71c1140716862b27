"""Faults in workers: the attempt ends with a stable word, its neighbour does not notice."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.faults import figures
from tests.faults.scale import count, within
from tests.faults.world import API, World, percentile, probe
from tests.support.server import is_alive, wait_for

MakeWorld = Callable[..., World]


def test_r2_killed_workers(make_world: MakeWorld) -> None:
    """kill -9 of random workers: only theirs is run again, and a new worker is there at once."""
    world = make_world("--slots", "2", scenario="R2", environment={"KANAD_MAX_ATTEMPTS": "10"})
    kills, again = count(100, 8), []
    accepted = world.submit_all(probe(steps=25, step_ms=20, name=f"r2-{i}") for i in range(count(150, 12)))
    victims: Counter[str] = Counter()
    while sum(victims.values()) < kills:
        time.sleep(world.random.uniform(0.0, 0.25))
        busy = world.busy_workers()
        if not busy:
            accepted.append(world.submit(probe(steps=25, step_ms=20), key=f"more-{len(accepted)}"))
            continue
        victim = world.random.choice(sorted(busy))
        began = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(busy[victim], signal.SIGKILL)
        wait_for(partial(_has_other_workers, world, busy), "a new worker", within(3.0))
        again.append(time.monotonic() - began)
        victims[victim] += 1
    measured = world.finish()
    begun = Counter(name for moment, name, *_ in world.ledger() if moment == "start")
    needless = sum(begun[name] > 1 + victims[name] for name in accepted)
    assert needless == 0
    figures.record(
        "R2", "killed workers", kills=kills, neighbours_run_again=needless, new_worker_s_max=max(again), **measured
    )


def _has_other_workers(world: World, before: dict[str, int]) -> bool:
    """Whether both slots have a living worker, one of which was not there before."""
    pids = [slot["pid"] for slot in world.slots()]
    return all(pid and is_alive(pid) for pid in pids) and not set(before.values()) <= set(pids)


def test_r2_killed_parent_of_workers(make_world: MakeWorld) -> None:
    """kill -9 of the process from which workers come: another one is made, as bare as the first, and work goes on."""
    secret = "Geheimnisvoll"  # noqa: S105 - it only must not be handed on
    world = make_world("--slots", "2", scenario="R2 parent", environment={"KANAD_TEST_SECRET": secret})
    kills, again = count(10, 2), []
    for number in range(kills):
        running = [world.submit(probe(steps=40, step_ms=20), key=f"parent-{number}-{n}") for n in range(2)]
        wait_for(lambda: len(world.busy_workers()) == 2, "two busy workers")
        busy = world.busy_workers()
        began = time.monotonic()
        os.kill(_parent_of(busy[running[0]]), signal.SIGKILL)
        wait_for(partial(_has_other_workers, world, busy), "new workers", within(5.0))
        again.append(time.monotonic() - began)
        parent = _parent_of(next(slot["pid"] for slot in world.slots()))
        assert secret not in Path(f"/proc/{parent}/environ").read_text()
        assert {world.ended(name)["status"] for name in running} == {"completed"}
    measured = world.finish()
    figures.record("R2", "the workers' parent killed", kills=kills, new_workers_s_max=max(again), **measured)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


BAD = {
    "sigsegv": "worker_crashed",
    "os_exit": "worker_crashed",
    "unpicklable": "solver_failed",
    "nan_result": "bad_result",
    "huge_result": "bad_result",
    "oom": "out_of_memory",
}


def test_r3_crashes_in_solvers(make_world: MakeWorld) -> None:
    """Crashes, impossible results and memory: each has its code, and the healthy all complete."""
    world = make_world("--slots", "2", scenario="R3")
    each = count(10, 2)
    kinds = [fault for fault in BAD for _ in range(each)] + ["none"] * (5 * each)
    world.random.shuffle(kinds)
    limits = {"wall_s": 60, "memory_mb": 512}
    specs = [probe(steps=3, step_ms=2, fault=kind, limits=limits) for kind in kinds]
    accepted = world.submit_all(specs)
    ended = [world.ended(experiment_id, 120) for experiment_id in accepted]
    for kind, experiment in zip(kinds, ended, strict=True):
        if kind == "none":
            assert experiment["status"] == "completed"
            continue
        error = experiment["error"]
        assert (experiment["status"], error["code"]) == ("failed", BAD[kind])
        assert experiment["attempt"] <= 2
        if kind == "sigsegv":
            assert error["details"] == {"exit_signal": "SIGSEGV"}
        if kind == "os_exit":
            assert error["details"] == {"exit_code": 1}
    measured = world.finish()
    tries = Counter(name for moment, name, *_ in world.ledger() if moment == "start")
    figures.record(
        "R3", "crashes in C, memory, impossible results", bad=len(kinds) - kinds.count("none"),
        healthy_completed=kinds.count("none"), attempts_max=max(tries.values()), **measured,
    )  # fmt: skip
    assert max(tries.values()) <= 2


def test_r4_hangs(make_world: MakeWorld) -> None:
    """What never ends is ended at its limit, SIGTERM or not, and its slot works on."""
    world = make_world("--slots", "2", scenario="R4")
    hung = count(10, 4)
    limit_s = 2.0
    kinds = ["hang", "busy_c_loop"] * (hung // 2) + ["none"] * (2 * hung)
    world.random.shuffle(kinds)
    accepted = world.submit_all(
        probe(steps=5, step_ms=10, fault=kind, limits={"wall_s": limit_s, "memory_mb": 512}) for kind in kinds
    )
    ended = [world.ended(experiment_id, 120) for experiment_id in accepted]
    times = []
    for kind, experiment in zip(kinds, ended, strict=True):
        if kind == "none":
            assert experiment["status"] == "completed"
        else:
            assert (experiment["status"], experiment["error"]["code"]) == ("failed", "timeout")
            times.append(_ran_s(experiment))
    measured = world.finish()
    assert max(times) <= limit_s + within(2.0)
    figures.record(
        "R4", "hangs and loops in C that ignore SIGTERM", hung=len(times), beyond_limit_s_max=max(times) - limit_s,
        healthy_completed=kinds.count("none"), **measured,
    )  # fmt: skip


def _ran_s(experiment: dict[str, Any]) -> float:
    from datetime import datetime

    begun, ended = (datetime.fromisoformat(experiment[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()


def test_r5_cancels(make_world: MakeWorld) -> None:
    """Cancel at any instant, twice: ended within a second, and a result that is there stays."""
    world = make_world("--slots", "2", scenario="R5")
    rounds = count(100, 20)
    times: list[float] = []
    overwritten = 0

    def one(number: int) -> None:
        nonlocal overwritten
        kind = ("none", "none", "busy_c_loop", "none")[number % 4]
        experiment_id = world.submit(probe(steps=10, step_ms=10, fault=kind), key=f"cancel-{number}")
        if number % 4 == 3:
            world.ended(experiment_id)  # just after the end
        else:
            time.sleep(world.random.uniform(0.0, 0.3))
        pid = world.busy_workers().get(experiment_id)
        before = world.get(experiment_id)
        began = time.monotonic()
        for _ in range(2):
            assert world.call("POST", f"{API}/{experiment_id}/cancel").status == 202
        after = world.ended(experiment_id)
        times.append(time.monotonic() - began)
        overwritten += before["status"] == "completed" and after["status"] != "completed"
        if kind == "busy_c_loop" and before["progress"]["iteration"] == 10 and pid is not None:  # in C, hearing nothing
            wait_for(lambda: not is_alive(pid), "the worker to go", within(1.0))

    world.in_threads(one, range(rounds), 4)
    measured = world.finish()
    assert overwritten == 0
    assert percentile(times, 0.99) <= within(1.0)
    figures.record(
        "R5", "cancels at random instants, twice", cancels=2 * rounds, ended_s_p99=percentile(times, 0.99),
        results_overwritten=overwritten, **measured,
    )  # fmt: skip


@pytest.mark.parametrize("payload", [200_000])
def test_r17_workers_killed_while_they_write(make_world: MakeWorld, payload: int) -> None:
    """kill -9 in the middle of large messages: the other worker's stream never pauses, no reader hangs."""
    world = make_world("--slots", "2", scenario="R17", environment={"KANAD_MAX_ATTEMPTS": "10"})
    kills = count(50, 6)
    steady = world.submit(probe(steps=100_000, step_ms=20, limits={"wall_s": 600, "memory_mb": 512}), key="steady")
    world.server.running(steady, 2)
    killed = 0
    while killed < kills:
        loud = world.submit(probe(steps=400, step_ms=0, payload_bytes=payload), key=f"loud-{killed}")
        for _ in range(min(5, kills - killed)):
            wait_for(partial(_is_busy, world, loud), "the loud one to run")
            time.sleep(world.random.uniform(0.02, 0.15))
            pid = world.busy_workers().get(loud)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        world.call("POST", f"{API}/{loud}/cancel")
        world.ended(loud)
    world.call("POST", f"{API}/{steady}/cancel")
    world.ended(steady)
    log = world.server.events(steady)
    pauses = _pauses(log)
    measured = world.finish()
    assert max(pauses) <= within(0.5)
    assert log[-1]["attempt"] == 1
    figures.record(
        "R17", "workers killed while they write 200 kB messages", kills=killed, neighbour_pause_s_max=max(pauses),
        **measured,
    )  # fmt: skip


def _is_busy(world: World, experiment_id: str) -> bool:
    return experiment_id in world.busy_workers()


def _pauses(log: list[dict[str, Any]]) -> list[float]:
    """Seconds between convergence events that follow each other."""
    from datetime import datetime

    times = [datetime.fromisoformat(event["time"]) for event in log if event["type"] == "convergence"]
    return [(b - a).total_seconds() for a, b in pairwise(times)]
