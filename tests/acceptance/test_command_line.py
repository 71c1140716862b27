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


def test_an_address_that_is_none_is_a_usage_error() -> None:
    done = kanad("ls", url="127.0.0.1:8000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "http://127.0.0.1:8000, got '127.0.0.1:8000'" in " ".join(done.stderr.split())


def test_doctor_says_its_findings_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kanad_server", "doctor", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_several_sources_run_at_once_and_are_told_apart(server: Server, tmp_path: Path) -> None:
    (tmp_path / "helium.toml").write_text(
        'name = "helium"\nbasis = "cc-pvdz"\n[molecule]\n'
        'atoms = [{symbol = "He", position_angstrom = [0.0, 0.0, 0.0]}]\n[method]\nname = "fci"\n'
    )
    done = kanad(
        "run", "H2", str(tmp_path / "helium.toml"), "--json", "--output", str(tmp_path / "out"), url=server.url
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert abs(first["result"]["energy_hartree"] + 1.11668439) < 1e-7  # RHF, PySCF 2.14.0
    assert abs(second["result"]["energy_hartree"] + 2.88759483) < 1e-7  # full CI of He/cc-pVDZ, PySCF 2.14.0
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_show_export_retry_estimate_and_methods(server: Server, tmp_path: Path) -> None:
    submitted = kanad("run", "LiH", "-m", "casci", "--active-space", "2,2", "--no-wait", url=server.url)
    ident = submitted.stdout.strip()
    assert server.ended(ident)["status"] == "completed"
    shown = kanad("show", ident, "--json", url=server.url)
    assert json.loads(shown.stdout)["experiment"]["spec"]["active_space"]["orbitals"] == 2
    assert "casci/sto-3g, energy" in kanad("show", ident, url=server.url).stdout
    listed = kanad("export", ident, url=server.url).stdout.split()
    assert "fcidump" in listed
    kanad("export", ident, "fcidump", "--to", str(tmp_path), url=server.url)
    assert "NORB=" in (tmp_path / "fcidump").read_text().replace(" ", "")
    assert kanad("retry", ident, url=server.url).returncode == 1
    assert kanad("estimate", "N2", "-m", "fci", "-b", "cc-pvtz", url=server.url).returncode == 1
    price = json.loads(kanad("estimate", "H2", "--json", url=server.url).stdout)
    assert price["basis_functions"] == 2
    assert "samples_per_batch" in kanad("methods", "sqd", url=server.url).stdout
    events = kanad("watch", ident, "--json", url=server.url).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in events] == list(range(1, len(events) + 1))


def test_a_file_that_is_not_there_is_a_usage_error(server: Server) -> None:
    done = kanad("run", "nowhere.xyz", url=server.url)
    assert done.returncode == 2
    assert "No such file" in done.stderr


def test_a_chart_fills_its_width_and_labels_its_ends() -> None:
    from kanad_server.cli.chart import chart

    lines = chart([-1.0, -2.0, -2.5, -2.75], width=10, height=4)
    assert lines[0].startswith("-1.000000 ┤⡇") or lines[0].startswith("-1.000000 ┤")
    assert lines[-1].startswith("-2.750000 ┤")
    assert {len(line.split("┤")[1]) for line in lines} <= set(range(11))
    assert len(chart([1.0] * 5_000, width=10, height=2)) == 2
