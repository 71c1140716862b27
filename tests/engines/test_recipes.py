"""What docs/cluster.md tells a user to type, typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.cluster import Cluster, end, free_port, listens
from tests.engines.conftest import Serve
from tests.support.server import probe, wait_for

pytestmark = [pytest.mark.dask, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cluster.md").read_text()
BIN = Path(sys.executable).parent


def commands() -> list[list[str]]:
    block = re.search(r"## Five commands.*?```sh\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """What is in it is ended, the last one first."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in reversed(processes):
        end([process])  # type: ignore[list-item]  # text or bytes: it is not read


def test_the_five_commands_lead_to_an_energy(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    install, scheduler, worker, serve, run = commands()
    assert install == ["pip", "install", "kanad-server[dask]"]  # done already: this is the package
    at, web = free_port(), free_port()

    def typed(command: list[str], *more: str) -> list[str]:
        words = [word.replace("8786", str(at)) for word in command]
        return [str(BIN / words[0]), *words[1:], *more]

    def start(command: list[str], *more: str) -> None:
        with (tmp_path / "log").open("ab") as log:
            started.append(
                subprocess.Popen(typed(command, *more), stdout=log, stderr=log, text=True, start_new_session=True)
            )

    start(scheduler, "--dashboard-address", ":0")
    wait_for(lambda: listens(at), "the scheduler")
    start(worker, "--no-dashboard", "--local-directory", str(tmp_path))
    start(serve, "--port", str(web), "--data-dir", str(tmp_path / "data"))
    wait_for(lambda: listens(web), "the server")
    done = subprocess.run(
        typed(run, "--url", f"http://127.0.0.1:{web}"), capture_output=True, text=True, timeout=90, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    assert "-1.11668439" in done.stdout
    assert "-1.11668439" in PAGE


def test_dask_jobqueue_writes_a_job_with_our_preload() -> None:
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-c", block[1].replace("8786", str(port)) + "cluster.close()"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in ("#SBATCH --cpus-per-task=16", "#SBATCH -t 24:00:00", f":{port} ", "--nthreads 16",
                 "--preload kanad_server.engines.dask_preload"):  # fmt: skip
        assert part in done.stdout


def test_the_job_of_the_page_starts_workers_that_join(tmp_path: Path, cluster: Cluster, serve: Serve) -> None:
    """The command that `srun` gives to each task, without Slurm."""
    block = re.search(r"srun (dask worker .*?)\"", PAGE)
    assert block is not None
    words = shlex.split(block[1].replace("head:8786", f"127.0.0.1:{cluster.port}"))
    words[words.index("--local-directory") + 1], words[words.index("--nthreads") + 1] = str(tmp_path), "2"
    cluster.mend(0)
    job = subprocess.Popen([str(BIN / words[0]), *words[1:]], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        server = serve(cluster.engine, slots=2)
        assert server.ended(server.post(probe(steps=1))["id"])["status"] == "completed"
    finally:
        end([job])
