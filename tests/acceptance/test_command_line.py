"""The command line as people use it: with a server, and without one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from kanad_solvers.registry import METHODS
from tests.support.server import Server, probe

EXAMPLE = str(Path(__file__).parents[2] / "examples/h2.xyz")
NOWHERE = "http://127.0.0.1:9"
RUN = ("run", EXAMPLE, "--method", "sqd", "--n-states", "3")


def kanad(*words: str, url: str) -> subprocess.CompletedProcess[str]:
    """What a command prints and how it ends."""
    command = [sys.executable, "-m", "kanad_server", *words, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_run_shows_every_stage_and_the_result(server: Server) -> None:
    done = kanad(*RUN, url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(stage) for stage in re.findall(r"^stage (\d)/6", done.stdout, re.MULTILINE)] == list(range(7))
    assert "status completed, progress 100" in done.stdout
    assert re.search(r"^energy +-1\.13727017 Eh", done.stdout, re.MULTILINE)  # full CI, PySCF 2.14.0
    assert len(re.findall(r"^[012] +-[01]\.\d{8}", done.stdout, re.MULTILINE)) == 3


def test_run_without_a_server_starts_one_of_its_own(tmp_path: Path) -> None:
    written = tmp_path / "result.json"
    done = kanad(*RUN, "--json", "--output", str(written), url=NOWHERE)
    assert done.returncode == 0
    assert done.stderr == "no server is running; starting a private one for this run\n"
    result = json.loads(done.stdout)
    assert result == json.loads(written.read_text())
    assert [state["index"] for state in result["states"]] == [0, 1, 2]


def test_what_is_refused_is_said_in_one_line(server: Server) -> None:
    done = kanad("run", "[H][H]", "--method", "guess", url=server.url)
    assert (done.returncode, done.stdout) == (1, "")
    offered = ", ".join(METHODS)
    assert done.stderr == f"kanad: 422 invalid_spec: $.method.name: must be one of {offered}; got 'guess'\n"


def test_list_watch_and_cancel(server: Server) -> None:
    running = server.post(probe(steps=100_000, step_ms=10, name="endless"))["id"]
    server.running(running)
    listed = kanad("ls", url=server.url)
    assert running in listed.stdout
    assert kanad("cancel", running, url=server.url).returncode == 0
    watched = kanad("watch", running, url=server.url)
    assert watched.returncode == 1
    assert watched.stdout.splitlines()[-1].startswith("status cancelled")


def test_nobody_there_is_said_in_one_line() -> None:
    done = kanad("ls", url=NOWHERE)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
