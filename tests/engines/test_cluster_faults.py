"""What may befall worker, solver, scheduler, server and network, on a real cluster of two worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.engines.cluster import PRELOAD, Cluster, free_port
from tests.engines.conftest import Serve, check_log, engine_of, noted, place_of
from tests.engines.proxy import Proxy
from tests.support.server import probe, wait_for

pytestmark = [pytest.mark.dask, pytest.mark.timeout(180)]


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """Before the scheduler. It outlives the servers that are made after it, which have to tell what they let go."""
    with Proxy(cluster.port) as running:
        yield running


@pytest.mark.parametrize("killed", ["worker", "solver"])
def test_a_killed_worker_or_solver_costs_one_attempt_and_the_neighbour_none(
    cluster: Cluster, serve: Serve, killed: str
) -> None:
    server = serve(cluster.engine)
    victim, other = (server.post(probe(steps=100, step_ms=40))["id"] for _ in range(2))
    for one in (victim, other):
        server.running(one, 5)
    worker = next(worker for worker in cluster.workers if cluster.slot(worker) == place_of(server, victim))
    os.kill(worker.pid if killed == "worker" else server.worker_of(victim), signal.SIGKILL)
    assert {server.ended(one, 90)["status"] for one in (victim, other)} == {"completed"}
    assert (server.get(victim)["attempt"], server.get(other)["attempt"]) == (2, 1)
    for one in (victim, other):
        check_log(server, one)
    assert (noted(cluster, "end", victim), noted(cluster, "end", other)) == (1, 1)
    assert (worker.poll() is None) == (killed == "solver")


def test_a_killed_scheduler_is_reported_and_the_server_goes_on_accepting(cluster: Cluster, serve: Serve) -> None:
    server = serve(cluster.engine)
    running = server.post(probe(steps=200, step_ms=20))["id"]
    server.running(running, 5)
    cluster.scheduler.kill()
    wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down")
    accepted = server.post(probe(steps=3, step_ms=1))["id"]
    assert server.http.get("/health/ready").status_code == 200
    assert 'kanad_engine_up{engine="dask"} 0.0' in server.http.get("/metrics").text
    for worker in cluster.workers:  # workers do not outlive their scheduler
        worker.wait(60)
    cluster.start_scheduler()
    cluster.add_worker(*PRELOAD)
    wait_for(lambda: engine_of(server)["state"] == "up", "the engine to be up")
    for one in (running, accepted):
        assert server.ended(one, 90)["status"] == "completed"
        check_log(server, one)
    assert (server.get(running)["attempt"], noted(cluster, "end", running)) == (2, 1)


def test_a_killed_servers_work_is_run_once_more_and_recorded_once(cluster: Cluster, serve: Serve) -> None:
    server = serve(cluster.engine)
    both = [server.post(probe(steps=150, step_ms=20))["id"] for _ in range(2)]
    for one in both:
        server.running(one, 5)
    server.kill()
    server.start()
    for one in both:
        assert server.ended(one, 90)["status"] == "completed"
        check_log(server, one)
        assert server.get(one)["attempt"] == 2
        assert noted(cluster, "start", one) == 2


@pytest.mark.parametrize("cut", ["silent", "broken"])
def test_a_network_cut_of_twenty_seconds_costs_nothing(cluster: Cluster, proxy: Proxy, serve: Serve, cut: str) -> None:
    server = serve(f"dask://127.0.0.1:{proxy.port}")
    long = server.post(probe(steps=460, step_ms=50))["id"]
    short = server.post(probe(steps=200, step_ms=50))["id"]  # ends while the network is cut
    for one in (long, short):
        server.running(one, 5)
    proxy.cut(20, is_silent=cut == "silent")
    wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down", 15)
    waiting = server.post(probe(steps=1))["id"]
    for one in (long, short, waiting):
        assert server.ended(one, 100)["status"] == "completed"
        check_log(server, one)
        assert (server.get(one)["attempt"], noted(cluster, "start", one)) == (1, 1)


def test_an_idle_server_whose_connection_broke_serves_again(proxy: Proxy, serve: Serve) -> None:
    server = serve(f"dask://127.0.0.1:{proxy.port}")
    proxy.cut(60, is_silent=False)
    wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down")
    waiting = server.post(probe(steps=1))["id"]
    proxy.mend()
    for one in (waiting, server.post(probe(steps=1))["id"]):
        assert server.ended(one)["status"] == "completed"


def test_another_worker_at_the_address_of_one_that_was_killed_is_another_worker(
    cluster: Cluster, proxy: Proxy, serve: Serve
) -> None:
    """As where containers have fixed ports; the server sees neither of them come or go."""
    cluster.mend(0)
    same = ("--worker-port", str(free_port()), "--resources", "memory_mb=4096,threads=1", *PRELOAD)
    first = cluster.add_worker(*same)
    server = serve(f"dask://127.0.0.1:{proxy.port}", slots=1)
    running = server.post(probe(steps=100, step_ms=40))["id"]
    server.running(running, 5)
    proxy.cut(120, is_silent=False)
    first.kill()
    first.wait()
    second = cluster.add_worker(*same)
    cluster.joined(second)
    wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down")
    proxy.mend()
    assert server.ended(running, 90)["status"] == "completed"
    check_log(server, running)
    assert (server.get(running)["attempt"], noted(cluster, "start", running)) == (2, 2)
    assert server.ended(server.post(probe(steps=1))["id"])["status"] == "completed"


def test_a_worker_that_hangs_before_it_has_answered_keeps_nobody_waiting(cluster: Cluster, serve: Serve) -> None:
    frozen, sound = cluster.workers
    frozen.send_signal(signal.SIGSTOP)
    try:
        server = serve(cluster.engine, slots=1)
        assert server.ended(server.post(probe(steps=1))["id"])["status"] == "completed"
        assert [slot["name"] for slot in server.system()["slots"]] == [cluster.slot(sound)]
        assert engine_of(server)["state"] == "up"
        assert any("it has not said yet what it has" in note for note in engine_of(server)["notes"])
    finally:
        frozen.send_signal(signal.SIGCONT)
    wait_for(lambda: len(server.system()["slots"]) == 2, "the other slot")
