"""Crashes, kills and late viewers: what was accepted ends, once, and every viewer sees the whole log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.checks import check_gone, check_log, check_store
from tests.support.server import ENDED, Server, is_alive, probe, wait_for

StartServer = Callable[..., Server]


def stream(server: Server, experiment_id: str, after: int = 0, stop_after: int | None = None) -> list[dict[str, Any]]:
    """What a viewer receives, to the end of the stream or to `stop_after` events."""
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/experiments/{experiment_id}/stream?after={after}"
    events: list[dict[str, Any]] = []
    with connect(address, proxy=None) as socket:
        for frame in socket:
            decoded = msgspec.json.decode(frame)
            events += decoded if isinstance(decoded, list) else [decoded]
            if stop_after is not None and len(events) >= stop_after:
                return events[:stop_after]
        assert socket.close_code == 1000
    return events


def test_a_killed_worker_costs_one_attempt_and_its_neighbour_nothing(start_server: StartServer) -> None:
    server = start_server("--slots", "2")
    victim = server.post(probe(steps=40, step_ms=25))["id"]
    neighbour = server.post(probe(steps=60, step_ms=25))["id"]
    server.running(victim, 3)
    server.running(neighbour, 3)
    os.kill(server.worker_of(victim), signal.SIGKILL)
    assert server.ended(victim)["status"] == "completed"
    assert server.get(victim)["attempt"] == 2
    assert server.ended(neighbour)["attempt"] == 1
    steps = [e["iteration"] for e in server.events(neighbour) if e["type"] == "convergence"]
    assert steps == list(range(1, 61))
    for experiment_id in (victim, neighbour):
        check_log(server.events(experiment_id))
    assert server.stop() == 0
    check_store(server)


def is_attempt(server: Server, experiment_id: str, attempt: int) -> bool:
    return bool(server.get(experiment_id)["attempt"] == attempt)


def test_a_worker_that_is_killed_in_every_attempt_ends_as_worker_lost(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    experiment_id = server.post(probe(steps=1000, step_ms=10))["id"]
    for attempt in (1, 2):
        wait_for(partial(is_attempt, server, experiment_id, attempt), "the attempt")
        server.running(experiment_id, 1)
        os.kill(server.worker_of(experiment_id), signal.SIGKILL)
    ended = server.ended(experiment_id)
    assert ended["status"] == "failed"
    assert ended["error"]["code"] == "worker_lost"
    assert ended["error"]["details"] == {"exit_signal": "SIGKILL"}
    assert ended["attempt"] == 2
    check_log(server.events(experiment_id))


def test_a_killed_server_takes_up_what_ran_and_what_waited(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    accepted = [server.post(probe(steps=20, step_ms=20, name=str(i)))["id"] for i in range(6)]
    server.running(accepted[0], 2)
    server.kill()
    check_gone(server)
    server.start()
    ended = [server.ended(experiment_id) for experiment_id in accepted]
    assert [experiment["status"] for experiment in ended] == ["completed"] * 6
    assert ended[0]["attempt"] == 2
    assert [experiment["attempt"] for experiment in ended[1:]] == [1] * 5
    for experiment_id in accepted:
        check_log(server.events(experiment_id))
        assert server.result(experiment_id)["energy_hartree"] == -1.0
    assert server.stop() == 0
    check_store(server)


def test_workers_die_with_a_killed_server_even_in_a_c_loop(start_server: StartServer) -> None:
    server = start_server("--slots", "2")
    experiment_id = server.post(probe(steps=1, fault="busy_c_loop"))["id"]
    server.running(experiment_id, 1)
    server.kill()
    check_gone(server)


def test_a_cancel_that_was_acknowledged_survives_a_kill(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    experiment_id = server.post(probe(steps=1, fault="busy_c_loop"))["id"]
    server.running(experiment_id, 1)
    assert server.http.post(f"/api/v1/experiments/{experiment_id}/cancel").status_code == 202
    server.kill()
    server.start()
    assert server.ended(experiment_id)["status"] == "cancelled"
    check_log(server.events(experiment_id))


def test_a_late_viewer_receives_the_whole_log(server: Server) -> None:
    experiment_id = server.post(probe(steps=60, step_ms=10))["id"]
    server.running(experiment_id, 20)
    seen = stream(server, experiment_id)
    check_log(seen)
    assert seen[-1]["status"] == "completed"
    assert seen == server.events(experiment_id)


def test_a_viewer_that_reconnects_receives_what_it_missed_once(server: Server) -> None:
    experiment_id = server.post(probe(steps=80, step_ms=10))["id"]
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1].get("status") not in ENDED:
        seen += stream(server, experiment_id, after=len(seen), stop_after=7)
    assert seen == server.events(experiment_id)
    check_log(seen)


def test_a_viewer_that_joins_after_the_end_receives_everything_and_is_closed(server: Server) -> None:
    experiment_id = server.post(probe(steps=700, step_ms=0))["id"]
    last_seq = server.ended(experiment_id)["last_seq"]
    seen = stream(server, experiment_id)
    assert len(seen) == last_seq == 705
    check_log(seen)
    assert stream(server, experiment_id, after=last_seq) == []


def test_many_viewers_from_the_start_see_the_same(server: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    experiment_id = server.post(probe(steps=50, step_ms=10))["id"]
    with ThreadPoolExecutor(8) as pool:
        logs = list(pool.map(lambda _: stream(server, experiment_id), range(8)))
    whole = server.events(experiment_id)
    assert all(log == whole for log in logs)


@pytest.mark.parametrize("after", ["-1", "x", "1e3", "99999", "9" * 400])
def test_an_after_that_cannot_be_is_told(server: Server, after: str) -> None:
    experiment_id = server.post(probe(steps=1, step_ms=0))["id"]
    server.ended(experiment_id)
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/experiments/{experiment_id}/stream?after={after}"
    with connect(address, proxy=None) as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 4400
        assert "after must be" in (socket.close_reason or "")


def test_a_stream_of_nothing_is_closed_4404(server: Server) -> None:
    with connect(f"{server.url.replace('http', 'ws', 1)}/api/v1/experiments/none/stream", proxy=None) as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 4404


def cancel_and_time(server: Server, experiment_id: str) -> float:
    started = time.monotonic()
    assert server.http.post(f"/api/v1/experiments/{experiment_id}/cancel").status_code == 202
    assert server.ended(experiment_id)["status"] == "cancelled"
    return time.monotonic() - started


def test_cancel_of_a_queued_experiment_ends_it_at_once(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    blocker = server.post(probe(steps=1000, step_ms=10))["id"]
    waiting = server.post(probe(steps=1))["id"]
    assert server.get(waiting)["queue_position"] == 1
    assert cancel_and_time(server, waiting) < 2.0
    assert [e["type"] for e in server.events(waiting)] == ["status", "status"]
    assert server.get(blocker)["status"] == "running"
    assert cancel_and_time(server, blocker) < 2.0


def test_cancel_of_a_running_experiment_keeps_the_worker(server: Server) -> None:
    experiment_id = server.post(probe(steps=1000, step_ms=10))["id"]
    server.running(experiment_id)
    worker = server.worker_of(experiment_id)
    assert cancel_and_time(server, experiment_id) < 2.0
    assert is_alive(worker)
    assert server.http.post(f"/api/v1/experiments/{experiment_id}/cancel").status_code == 202
    check_log(server.events(experiment_id))


@pytest.mark.parametrize("fault", ["hang", "busy_c_loop"])
def test_cancel_of_a_stuck_experiment_ends_its_worker(server: Server, fault: str) -> None:
    experiment_id = server.post(probe(steps=1, fault=fault))["id"]
    server.running(experiment_id)
    worker = server.worker_of(experiment_id)
    assert cancel_and_time(server, experiment_id) < 2.0
    assert not is_alive(worker)
    after = server.post(probe(steps=1))["id"]
    assert server.ended(after)["status"] == "completed"


def test_a_wall_limit_ends_a_stuck_experiment_as_timeout(server: Server) -> None:
    spec = probe(steps=1, fault="busy_c_loop", limits={"wall_s": 0.5, "memory_mb": 512})
    ended = server.ended(server.post(spec)["id"])
    assert ended["status"] == "failed"
    assert ended["error"]["code"] == "timeout"


@pytest.mark.parametrize(
    ("fault", "code", "attempts"),
    [
        ("raise", "solver_failed", 1),
        ("unpicklable", "solver_failed", 1),
        ("sigsegv", "worker_crashed", 2),
        ("os_exit", "worker_crashed", 2),
        ("oom", "out_of_memory", 1),
        ("nan_result", "bad_result", 1),
        ("huge_result", "bad_result", 1),
    ],
)
def test_a_fault_in_a_solver_has_a_stable_code(server: Server, fault: str, code: str, attempts: int) -> None:
    spec = probe(steps=2, step_ms=1, fault=fault, limits={"wall_s": 60, "memory_mb": 512})
    ended = server.ended(server.post(spec)["id"])
    assert ended["status"] == "failed"
    assert ended["error"]["code"] == code
    assert ended["attempt"] == attempts
    check_log(server.events(ended["id"]))
    assert "Traceback" not in str(ended)


def test_sigterm_with_open_sockets_ends_in_time_and_leaves_no_orphan(start_server: StartServer) -> None:
    server = start_server("--slots", "2")
    running = [server.post(probe(steps=10_000, step_ms=10))["id"] for _ in range(2)]
    waiting = server.post(probe(steps=1))["id"]
    for experiment_id in running:
        server.running(experiment_id)
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/experiments/{running[0]}/stream"
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(address, proxy=None)) for _ in range(20)]
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5.0
        check_gone(server)
        for socket in sockets:
            with suppress(ConnectionClosed):
                while True:
                    socket.recv(timeout=5)
            assert socket.close_code == 1012
    check_store(server)
    server.start()
    server.ready()
    for experiment_id in running:
        server.running(experiment_id)
        assert server.get(experiment_id)["attempt"] == 2
        server.http.post(f"/api/v1/experiments/{experiment_id}/cancel")
    assert server.ended(waiting)["status"] == "completed"
    for experiment_id in running:
        assert server.ended(experiment_id)["status"] == "cancelled"
        check_log(server.events(experiment_id))


def test_a_connection_that_its_client_closes_is_freed_at_once(server: Server) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    before = descriptors()
    clients = [httpx.Client(base_url=server.url, trust_env=False) for _ in range(20)]
    for client in clients:
        assert client.get("/health/live").status_code == 200
    assert descriptors() >= before + 20
    for client in clients:
        client.close()
    wait_for(lambda: descriptors() < before + 5, "the descriptors to be freed", 10)


def test_a_second_server_on_the_same_data_is_refused(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    second = subprocess.run(
        [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--data-dir", str(server.data)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert second.stdout == ""
    assert "another kanad-server uses the data directory" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert server.http.get("/health/ready").status_code == 200


def test_a_file_that_is_no_database_stops_the_start_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kanad.sqlite").write_text("these are the only notes of a year's work, and no database " * 20)
    before = (tmp_path / "kanad.sqlite").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be used as a database" in done.stderr
    assert (tmp_path / "kanad.sqlite").read_bytes() == before


def test_a_failed_experiment_can_be_retried_and_a_completed_one_cannot(server: Server) -> None:
    failed = server.ended(server.post(probe(steps=1, fault="raise"))["id"])
    response = server.http.post(f"/api/v1/experiments/{failed['id']}/retry")
    assert response.status_code == 202
    assert response.json()["attempt"] == 2
    again = server.ended(failed["id"])
    assert (again["status"], again["attempt"]) == ("failed", 2)
    check_log(server.events(failed["id"]))
    assert stream(server, failed["id"])[-1]["status"] == "failed"
    completed = server.ended(server.post(probe(steps=1))["id"])
    refused = server.http.post(f"/api/v1/experiments/{completed['id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")


def test_one_that_waits_is_moved_forward_and_its_log_says_so(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    running, first, second = (server.post(probe(steps=10_000, step_ms=20))["id"] for _ in range(3))
    server.running(running)
    moved = server.http.patch(f"/api/v1/experiments/{second}", json={"priority": 7})
    assert (moved.status_code, moved.json()["priority"], moved.json()["queue_position"]) == (200, 7, 1)
    assert (server.get(first)["queue_position"], server.get(second)["spec"]["priority"]) == (2, 0)
    assert "from 0 to 7" in server.events(second)[-1]["message"]
    for wrong in ({"priority": 101}, {"priority": 1.5}, {}, {"priority": 1, "name": "no"}):
        refused = server.http.patch(f"/api/v1/experiments/{first}", json=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_spec")
    late = server.http.patch(f"/api/v1/experiments/{running}", json={"priority": 7})
    assert (late.status_code, late.json()["code"]) == (409, "not_queued")
    for experiment in (first, second, running):
        server.http.post(f"/api/v1/experiments/{experiment}/cancel")


def test_an_idempotency_key_makes_one_experiment_across_a_restart(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    headers = {"Idempotency-Key": "a-key"}
    spec = probe(steps=1)
    first = server.http.post("/api/v1/experiments", json=spec, headers=headers)
    assert first.status_code == 201
    server.kill()
    server.start()
    again = server.http.post("/api/v1/experiments", json=spec, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = server.http.post("/api/v1/experiments", json=probe(steps=2), headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        assert len(http.get("/api/v1/experiments").json()["items"]) == 1


def test_the_same_key_at_the_same_time_makes_one_experiment(server: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    spec = probe(steps=1)
    with ThreadPoolExecutor(10) as pool:
        ids = set(pool.map(lambda _: server.post(spec, **{"Idempotency-Key": "many"})["id"], range(20)))
    assert len(ids) == 1


def test_delete_is_refused_while_active_and_complete_afterwards(server: Server) -> None:
    experiment_id = server.post(probe(steps=1000, step_ms=10))["id"]
    address = f"/api/v1/experiments/{experiment_id}"
    assert server.http.delete(address).json()["code"] == "still_active"
    server.http.post(f"{address}/cancel")
    server.ended(experiment_id)
    assert server.http.delete(address).status_code == 204
    assert server.http.get(address).status_code == 404
    assert server.http.get(f"{address}/events").status_code == 404


def test_prefer_wait_answers_with_the_ended_experiment(server: Server) -> None:
    response = server.http.post("/api/v1/experiments", json=probe(steps=3), headers={"Prefer": "wait=20"})
    assert response.status_code == 201
    assert response.json()["status"] == "completed"
    assert response.headers["preference-applied"] == "wait=20"
