"""A real server on a real cluster: two worker processes, and what may befall each part of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.cluster import Cluster, end
from tests.engines.proxy import Proxy
from tests.support.server import H2_ATOMS, Server, probe, wait_for

pytestmark = [pytest.mark.dask, pytest.mark.timeout(180)]
LONG = {"wall_s": 600, "memory_mb": 512}


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers that a test may hurt."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(folder) as running:
        running.add_worker()
        running.add_worker()
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers of the test's own, with the given engine."""
    started: list[Server] = []

    def start(engine: str, *options: str, slots: int = 2, **environment: str) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Server(folder, "--engine", engine, *options, environment=environment))
        started[-1].ready()
        wait_for(lambda: len(started[-1].system()["slots"]) >= slots, f"{slots} slots", 60)
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


def on(cluster: Cluster) -> str:
    return cluster.address.replace("tcp://", "dask://")


def engine_of(server: Server) -> dict[str, Any]:
    return next(engine for engine in server.system()["engines"] if engine["name"] == "dask")


def check_log(server: Server, experiment_id: str) -> list[dict[str, Any]]:
    """No gap, no duplicate, one end; the steps of each attempt in order."""
    events = server.events(experiment_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event["type"] == "status" and event["status"] in ("completed", "failed")]
    assert [event["seq"] for event in ends] == [len(events)]
    for attempt in {event["attempt"] for event in events}:
        steps = [e["iteration"] for e in events if e["type"] == "convergence" and e["attempt"] == attempt]
        assert steps == list(range(1, len(steps) + 1))
    return events


def noted(cluster: Cluster, moment: str, experiment_id: str) -> int:
    """How often a solver has begun with it, or come to its end."""
    lines = cluster.ledger.read_text().splitlines() if cluster.ledger.exists() else []
    return sum(line.startswith(f"{moment} {experiment_id} ") for line in lines)


def test_the_same_experiment_is_alike_on_either_engine(own_cluster: Cluster, serve: Callable[..., Server]) -> None:
    spec = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "sqd", "n_states": 3}, "fresh": True}
    shown = []
    for engine in ("local", on(own_cluster)):
        server = serve(engine, "--slots", "2")
        experiment = server.ended(server.post(spec)["id"])
        assert experiment["status"] == "completed", experiment
        events = [
            {key: value for key, value in event.items() if key not in ("experiment_id", "time")}
            for event in server.events(experiment["id"])
        ]
        result = server.result(experiment["id"])
        for measured in ("wall_s", "cpu_s", "peak_rss_mb"):
            result["provenance"].pop(measured)
        files = server.http.get(f"/api/v1/experiments/{experiment['id']}/artifacts").json()
        text = server.http.get(f"/api/v1/experiments/{experiment['id']}/artifacts/fcidump").text
        kept = [item["name"] for item in files["items"]]
        shown.append((events, result, kept, text, set(experiment)))
    assert shown[0] == shown[1]


def test_slots_come_and_go_and_what_waits_goes_down_and_up(own_cluster: Cluster, serve: Callable[..., Server]) -> None:
    server = serve(on(own_cluster))
    long = [server.post(probe(steps=100_000, step_ms=20, limits=LONG))["id"] for _ in range(4)]
    wait_for(lambda: server.system()["queue_length"] == 2, "two to wait")
    own_cluster.add_worker()
    wait_for(lambda: server.system()["queue_length"] == 1, "one to wait", 60)
    assert len(server.system()["slots"]) == 3
    assert "kanad_queue_length 1.0" in server.http.get("/metrics").text
    end([own_cluster.workers[0]])
    wait_for(lambda: len(server.system()["slots"]) == 2 and server.system()["queue_length"] == 2, "a slot to go")
    for one in long:
        server.http.post(f"/api/v1/experiments/{one}/cancel")
    assert {server.ended(one)["status"] for one in long} == {"cancelled"}


def test_memory_goes_where_it_fits_and_what_fits_nowhere_says_so(
    own_cluster: Cluster, serve: Callable[..., Server]
) -> None:
    own_cluster.add_worker("--memory-limit", "8GiB", "--nthreads", "2")
    server = serve(on(own_cluster), slots=4)
    big = server.post(probe(steps=100_000, step_ms=20, limits={"wall_s": 600, "memory_mb": 6_000}))["id"]
    wait_for(lambda: server.get(big)["status"] == "running", "it to run")
    slot = next(slot for slot in server.system()["slots"] if slot["experiment_id"] == big)
    assert slot["name"].startswith("w2-")
    too_big = server.post(probe(steps=1, limits={"wall_s": 60, "memory_mb": 50_000}))["id"]
    assert "no worker of the cluster has memory_mb = 50000" in server.events(too_big)[-1]["message"]
    assert server.get(too_big)["status"] == "queued"
    small = server.post(probe(steps=1, limits={"wall_s": 60, "memory_mb": 500}))["id"]
    assert server.ended(small)["status"] == "completed"


def test_a_killed_worker_costs_one_attempt_and_the_neighbour_none(
    own_cluster: Cluster, serve: Callable[..., Server]
) -> None:
    server = serve(on(own_cluster))
    both = [server.post(probe(steps=150, step_ms=40))["id"] for _ in range(2)]
    for one in both:
        server.running(one, 5)
    victim = next(slot for slot in server.system()["slots"] if slot["name"].startswith("w0"))["experiment_id"]
    own_cluster.workers[0].kill()
    other = next(one for one in both if one != victim)
    assert {server.ended(one, 90)["status"] for one in both} == {"completed"}
    assert (server.get(victim)["attempt"], server.get(other)["attempt"]) == (2, 1)
    for one in both:
        check_log(server, one)
    assert (noted(own_cluster, "end", victim), noted(own_cluster, "end", other)) == (1, 1)


def test_a_killed_scheduler_is_reported_and_the_server_goes_on_accepting(
    own_cluster: Cluster, serve: Callable[..., Server]
) -> None:
    server = serve(on(own_cluster))
    running = server.post(probe(steps=200, step_ms=20))["id"]
    server.running(running, 5)
    own_cluster.scheduler.kill()
    wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down")
    accepted = server.post(probe(steps=3, step_ms=1))["id"]
    assert server.http.get("/health/ready").status_code == 200
    assert 'kanad_engine_up{engine="dask"} 0.0' in server.http.get("/metrics").text
    for worker in own_cluster.workers:  # workers do not outlive their scheduler
        worker.wait(60)
    own_cluster.start_scheduler()
    own_cluster.add_worker()
    wait_for(lambda: engine_of(server)["state"] == "up", "the engine to be up")
    for one in (running, accepted):
        assert server.ended(one, 90)["status"] == "completed"
        check_log(server, one)
    assert (server.get(running)["attempt"], noted(own_cluster, "end", running)) == (2, 1)


def test_a_killed_servers_work_is_run_once_more_and_recorded_once(
    own_cluster: Cluster, serve: Callable[..., Server]
) -> None:
    server = serve(on(own_cluster))
    both = [server.post(probe(steps=150, step_ms=20))["id"] for _ in range(2)]
    for one in both:
        server.running(one, 5)
    server.kill()
    server.start()
    for one in both:
        assert server.ended(one, 90)["status"] == "completed"
        check_log(server, one)
        assert server.get(one)["attempt"] == 2
        assert noted(own_cluster, "start", one) == 2


@pytest.mark.parametrize("cut", ["silent", "broken"])
def test_a_network_cut_of_twenty_seconds_costs_nothing(
    own_cluster: Cluster, serve: Callable[..., Server], cut: str
) -> None:
    with Proxy(own_cluster.port) as proxy:
        server = serve(f"dask://127.0.0.1:{proxy.port}")
        long = server.post(probe(steps=600, step_ms=50))["id"]
        short = server.post(probe(steps=200, step_ms=50))["id"]  # ends while the network is cut
        for one in (long, short):
            server.running(one, 5)
        proxy.cut(20, is_silent=cut == "silent")
        wait_for(lambda: engine_of(server)["state"] == "down", "the engine to be down", 15)
        waiting = server.post(probe(steps=1))["id"]
        for one in (long, short, waiting):
            assert server.ended(one, 100)["status"] == "completed"
            check_log(server, one)
        assert [(server.get(one)["attempt"], noted(own_cluster, "start", one)) for one in (long, short)] == [
            (1, 1),
            (1, 1),
        ]


def test_a_worker_of_another_version_is_refused_and_says_why(tmp_path: Path, serve: Callable[..., Server]) -> None:
    folder, other = tmp_path / "cluster", tmp_path / "other"
    folder.mkdir()
    (other / "scipy-0.1.dist-info").mkdir(parents=True)
    (other / "scipy-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.1\n")
    with Cluster(folder) as cluster:
        cluster.add_worker(environment={"PYTHONPATH": str(other)})
        server = serve(on(cluster), slots=0)
        notes = wait_for(lambda: [note for note in engine_of(server)["notes"] if "scipy" in note], "a refusal", 60)
        assert "scipy is 0.1 there and" in notes[0]
        assert "install the same" in notes[0]
        waiting = server.post(probe(steps=1))["id"]
        cluster.add_worker()
        assert server.ended(waiting)["status"] == "completed"


def test_a_local_cluster_for_trying(serve: Callable[..., Server]) -> None:
    server = serve("dask-local", "--slots", "2")
    assert server.ended(server.post(probe(steps=5))["id"])["status"] == "completed"
    assert server.stop() == 0


def test_both_engines_at_once_by_estimate(own_cluster: Cluster, serve: Callable[..., Server]) -> None:
    for up_to_s, where in ((100, "local"), (10, "w")):  # a probe is estimated at up to 60 s
        server = serve(f"local+{on(own_cluster)}", "--slots", "1", slots=3, KANAD_LOCAL_UP_TO_S=str(up_to_s))
        assert [engine["name"] for engine in server.system()["engines"]] == ["local", "dask"]
        experiment_id = server.post(probe(steps=100_000, step_ms=50))["id"]
        server.running(experiment_id, 1)
        slot = next(slot for slot in server.system()["slots"] if slot["experiment_id"] == experiment_id)
        assert slot["name"].startswith(where)
        server.http.post(f"/api/v1/experiments/{experiment_id}/cancel")


def test_an_engine_that_is_none_is_refused(tmp_path: Path) -> None:
    for setting in ("cluster", "dask://nowhere", "local+local"):
        done = subprocess.run(
            [sys.executable, "-m", "kanad_server", "serve", "--engine", setting, "--data-dir", str(tmp_path)],
            capture_output=True, text=True, timeout=30, env=os.environ,
        )  # fmt: skip
        assert done.returncode == 1
        assert "engine must be local" in done.stderr
