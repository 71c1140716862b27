"""A real server on a real cluster of two worker processes: what people see there, and where work goes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kanad_server.client import SyncClient
from kanad_server.engines import choice
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings
from tests.engines.cluster import PRELOAD, Cluster, end
from tests.engines.conftest import Serve, cancel, engine_of, place_of
from tests.support.server import H2_ATOMS, Server, probe, wait_for

pytestmark = [pytest.mark.dask, pytest.mark.timeout(120)]
ENDLESS: dict[str, Any] = {"steps": 100_000, "step_ms": 20}
OWN_PER_RUN = ("experiment_id", "time")


def limits(memory_mb: int = 512, threads: int = 1) -> dict[str, Any]:
    return {"wall_s": 600, "memory_mb": memory_mb, "threads": threads}


def watched(server: Server, experiment_id: str) -> list[dict[str, Any]]:
    """What the Python client sees of an experiment while it runs and to its end, without what differs by the run."""
    with SyncClient(server.url) as client:
        events = [msgspec.to_builtins(event) for event in client.events(experiment_id)]
    return [{key: value for key, value in event.items() if key not in OWN_PER_RUN} for event in events]


def test_the_same_experiment_is_alike_on_either_engine(cluster: Cluster, serve: Serve) -> None:
    spec = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "sqd", "n_states": 3}, "fresh": True}
    shown = []
    for engine in ("local", cluster.engine):
        server = serve(engine, "--slots", "2")
        one = server.post(spec)["id"]
        events = watched(server, one)
        assert {event["type"] for event in events} >= {"status", "stage", "convergence", "state"}
        experiment, result = server.get(one), server.result(one)
        for measured in ("wall_s", "cpu_s", "peak_rss_mb"):
            result["provenance"].pop(measured)
        files = server.http.get(f"/api/v1/experiments/{one}/artifacts").json()["items"]
        text = server.http.get(f"/api/v1/experiments/{one}/artifacts/fcidump").text
        for own in ("id", "created_at", "started_at", "finished_at", "estimated_s"):
            experiment.pop(own)
        shown.append((events, experiment, result, files, text))
    assert shown[0] == shown[1]


def test_slots_come_and_go_and_what_waits_goes_down_and_up(cluster: Cluster, serve: Serve) -> None:
    server = serve(cluster.engine)

    def counted(slots: int, waiting: int) -> bool:
        """In the API and in the metrics alike."""
        system, text = server.system(), server.http.get("/metrics").text
        of_states = [float(value) for value in re.findall(r"^kanad_slots\{.*\} (.*)$", text, re.MULTILINE)]
        queued = server.http.get("/api/v1/experiments?status=queued").json()["items"]
        return (
            (len(system["slots"]), system["queue_length"], engine_of(server)["slots"]) == (slots, waiting, slots)
            and sum(of_states) == slots
            and f"kanad_queue_length {waiting}.0" in text
            and sorted(one["queue_position"] for one in queued) == list(range(1, waiting + 1))
        )

    endless = [server.post(probe(**ENDLESS, limits=limits()))["id"] for _ in range(4)]
    wait_for(lambda: counted(2, 2), "two to wait")
    cluster.add_worker(*PRELOAD)
    wait_for(lambda: counted(3, 1), "a slot to come", 60)
    end([cluster.workers[0]])
    wait_for(lambda: counted(2, 2), "a slot to go", 60)
    cancel(server, *endless)


def test_memory_and_threads_go_where_they_fit_and_what_fits_nowhere_says_so(cluster: Cluster, serve: Serve) -> None:
    large = cluster.add_worker(*PRELOAD, "--memory-limit", "8GiB", "--nthreads", "2", "--resources", "threads=4")
    server = serve(cluster.engine, slots=4)
    big = server.post(probe(**ENDLESS, limits=limits(memory_mb=6_000)))["id"]
    server.running(big)
    assert place_of(server, big) in (cluster.slot(large), cluster.slot(large, 1))
    wide = server.post(probe(**ENDLESS, limits=limits(threads=4)))["id"]
    assert server.get(wide)["status"] == "queued"  # the one worker with four threads has three left
    for beyond, what in ((limits(memory_mb=50_000), "memory_mb = 50000"), (limits(threads=5), "threads = 5")):
        nowhere = server.post(probe(steps=1, limits=beyond))["id"]
        message = wait_for(lambda: server.events(nowhere)[-1].get("message"), "the reason why it waits")  # noqa: B023
        assert "no worker of the cluster has" in message
        assert what in message
        assert server.get(nowhere)["status"] == "queued"
        cancel(server, nowhere)
    small = [server.post(probe(steps=1, limits=limits()))["id"] for _ in range(3)]
    assert {server.ended(one)["status"] for one in small} == {"completed"}
    assert (server.get(big)["status"], server.get(wide)["status"]) == ("running", "queued")
    cancel(server, big)
    server.running(wide)
    assert place_of(server, wide) in (cluster.slot(large), cluster.slot(large, 1))
    assert resources_of(cluster, wide) == {"memory_mb": 512, "threads": 4}
    cancel(server, wide)


def resources_of(cluster: Cluster, experiment_id: str) -> dict[str, float]:
    """What Dask itself holds back for the attempt that runs."""
    from distributed import Client

    def look(dask_scheduler: Any) -> dict[str, float]:
        found = [task.resource_restrictions for key, task in dask_scheduler.tasks.items() if experiment_id in str(key)]
        return dict(found[0])

    with Client(cluster.address, set_as_default=False, timeout=10) as client:  # type: ignore[no-untyped-call]  # half typed
        return dict(client.run_on_scheduler(look))


def test_threads_are_those_that_the_solver_uses(cluster: Cluster, serve: Serve) -> None:
    cluster.add_worker(*PRELOAD, "--nthreads", "2")
    server = serve(cluster.engine, slots=4)
    spec = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "hf"}, "limits": limits(threads=2)}
    one = server.post(spec)["id"]
    assert server.ended(one)["status"] == "completed"
    assert server.result(one)["provenance"]["threads"] == 2


def test_a_worker_of_other_versions_is_refused_and_says_why(tmp_path: Path, cluster: Cluster, serve: Serve) -> None:
    cluster.mend(0)
    for package in ("pyscf", "kanad_server"):
        other = tmp_path / f"other/{package}-0.9.9.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.9.9\n")
    cluster.add_worker(environment={"PYTHONPATH": str(tmp_path / "other")})
    server = serve(cluster.engine, slots=0)
    (note,) = wait_for(lambda: [note for note in engine_of(server)["notes"] if "0.9.9" in note], "a refusal", 60)
    for package in ("pyscf", "kanad-server"):
        assert f"{package} is 0.9.9 there and" in note
    assert "install the same" in note
    assert server.system()["slots"] == []
    waiting = server.post(probe(steps=1))["id"]
    cluster.add_worker(*PRELOAD)
    assert server.ended(waiting)["status"] == "completed"


WITHOUT_PYSCF = "import sys\nsys.modules['pyscf'] = None\n"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for temporary files: the name of a socket there may have 107 characters."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_worker_whose_children_do_not_start_does_not_join(tmp_path: Path, cluster: Cluster) -> None:
    far = tmp_path / ("far" * 40)
    far.mkdir()
    worker = cluster.add_worker(*PRELOAD, environment={"TMPDIR": str(far)})
    assert worker.wait(60) != 0
    assert "child processes do not start (AF_UNIX path too long); see to limits and TMPDIR" in cluster.log()


@pytest.mark.parametrize("lacks", ["PySCF", "files"])
def test_a_worker_that_cannot_run_attempts_does_not_start_and_without_preload_is_refused(
    lacks: str, tmp_path: Path, cluster: Cluster, serve: Serve
) -> None:
    cluster.mend(0)
    how: dict[str, Any] = {"prefix": ["prlimit", "--nofile=200:200"]}
    said = "ulimit -n is 200, and at least 256 are needed"
    if lacks == "PySCF":
        (tmp_path / "sitecustomize.py").write_text(WITHOUT_PYSCF)
        how, said = {"environment": {"PYTHONPATH": str(tmp_path)}}, "PySCF is not installed"
    assert cluster.add_worker(*PRELOAD, **how).wait(60) != 0
    assert f"this worker cannot run experiments: {said}" in cluster.log()
    cluster.add_worker(**how)
    server = serve(cluster.engine, slots=0)
    wait_for(lambda: any(said in note for note in engine_of(server)["notes"]), "a refusal", 60)
    assert server.system()["slots"] == []


def test_a_local_cluster_for_trying(serve: Serve) -> None:
    server = serve("dask-local", "--slots", "2")
    assert server.ended(server.post(probe(steps=5))["id"])["status"] == "completed"
    assert server.stop() == 0


def test_both_engines_at_once_by_estimate(cluster: Cluster, serve: Serve) -> None:
    for up_to_s, is_local in ((100, True), (10, False)):  # a probe is estimated at up to 60 s
        server = serve(f"local+{cluster.engine}", "--slots", "1", slots=3, KANAD_LOCAL_UP_TO_S=str(up_to_s))
        assert [engine["name"] for engine in server.system()["engines"]] == ["local", "dask"]
        one = server.post(probe(**ENDLESS))["id"]
        server.running(one)
        assert place_of(server, one).startswith("local") == is_local
        cancel(server, one)


def test_the_estimate_that_says_where_outlives_a_restart(cluster: Cluster, serve: Serve) -> None:
    server = serve(f"local+{cluster.engine}", "--slots", "1", slots=3, KANAD_LOCAL_UP_TO_S="100")
    first, second = (server.post(probe(**ENDLESS))["id"] for _ in range(2))  # both are for the one local slot
    server.running(first)
    assert server.get(second)["estimated_s"] <= 100
    server.kill()
    server.start()
    server.running(first)
    assert place_of(server, first).startswith("local")
    wait_for(lambda: len(server.system()["slots"]) == 3, "the cluster's slots", 60)
    assert server.get(second)["status"] == "queued"
    cancel(server, first)
    server.running(second)
    assert place_of(server, second).startswith("local")
    cancel(server, second)


@pytest.mark.parametrize("setting", ["cluster", "dask://nowhere", "local+local"])
def test_an_engine_that_is_none_is_refused(setting: str) -> None:
    with pytest.raises(StartRefused, match="engine must be local"):
        choice.check(Settings(engine=setting))


def test_workers_that_come_and_go_leave_nothing_in_the_scheduler(cluster: Cluster, serve: Serve) -> None:
    cluster.mend(0)
    server = serve(cluster.engine, slots=0)
    for _ in range(3):
        worker = cluster.add_worker(*PRELOAD)
        assert server.ended(server.post(probe(steps=3))["id"])["status"] == "completed"
        end([worker])
        wait_for(lambda: not server.system()["slots"], "the slot to go")
    own = (server.data / choice.ID_FILE).read_text()
    assert [topic for topic in cluster.topics() if own in topic] == [f"kanad-{own}-0"]


def test_experiments_leave_nothing_in_the_scheduler(cluster: Cluster, serve: Serve) -> None:
    server = serve(cluster.engine)
    own = (server.data / choice.ID_FILE).read_text()
    for _ in range(5):
        assert server.ended(server.post(probe(steps=1))["id"])["status"] == "completed"
        wait_for(lambda: not cluster.left(), "the cluster to be empty")
    assert own not in cluster.log()
    assert len([name for name in cluster.known() if own in name]) == 1


def test_a_killed_worker_leaves_no_files_once_another_one_has_started(
    tmp_path: Path, short_path: Path, cluster: Cluster, serve: Serve
) -> None:
    cluster.mend(0)
    local, temporary = tmp_path / "local", short_path
    how: dict[str, Any] = {"environment": {"TMPDIR": str(temporary)}}
    killed = cluster.add_worker(*PRELOAD, "--local-directory", str(local), **how)
    server = serve(cluster.engine, slots=1)
    one = server.post(probe(**ENDLESS))["id"]
    server.running(one)
    killed.kill()
    killed.wait()
    cluster.joined(cluster.add_worker(*PRELOAD, "--local-directory", str(local), **how))
    server.running(one)
    cancel(server, one)
    (kept,) = local.glob("*/worker-*/")
    assert list(temporary.glob("kanad-*")) == []
    assert list(kept.glob("attempt-*")) == []
