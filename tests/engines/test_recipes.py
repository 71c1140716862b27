"""What docs/cluster.md tells a user to type, typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.cluster import end, free_port, listens
from tests.support.server import wait_for

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
    assert "-1.1" in done.stdout


def test_dask_jobqueue_writes_a_job_with_our_preload() -> None:
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    assert 'worker_extra_args=["--preload", "kanad_server.engines.dask_preload"]' in block[1]
    from dask_jobqueue.slurm import SLURMJob

    job = SLURMJob(  # type: ignore[no-untyped-call]  # untyped
        scheduler="tcp://head:8786", name="kanad", cores=16, processes=1, memory="64GB", walltime="24:00:00",
        worker_extra_args=["--preload", "kanad_server.engines.dask_preload"],
    )  # fmt: skip
    script = job.job_script()  # type: ignore[no-untyped-call]  # untyped
    for part in ("#SBATCH --cpus-per-task=16", "#SBATCH -t 24:00:00", "tcp://head:8786", "--nthreads 16",
                 "--preload kanad_server.engines.dask_preload"):  # fmt: skip
        assert part in script
