"""The command line as people use it: with a server, and without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from kanad_server.cli.main import app
from kanad_solvers.registry import METHODS
from tests.support.server import Server, probe

EXAMPLE = str(Path(__file__).parents[2] / "examples/h2.xyz")
NOWHERE = "http://127.0.0.1:9"
RUN = ("run", EXAMPLE, "--method", "sqd", "--n-states", "3")


def kanad(*words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a command prints and how it ends; `url` is that of the server, for a command that asks one."""
    command = [sys.executable, "-m", "kanad_server", *words, *([] if url is None else ["--url", url])]
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
    assert done.stderr.endswith("; kanad serve starts a server, --url names another\n")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://", "http://a:99999", "http://a b", "ftp://a", "http://a/?b"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    done = kanad("ls", url=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"must be http://HOST:PORT or https://HOST:PORT, got '{url}'" in " ".join(
        done.stderr.replace("│", "").split()
    )


def test_what_is_wrong_with_words_is_said_with_the_rule_and_the_value(server: Server) -> None:
    def said(*words: str) -> tuple[int, str]:
        done = kanad(*words, url=server.url)
        return done.returncode, " ".join(done.stderr.replace("│", " ").split())

    assert said("ls", "--status", "done") == (
        1, "kanad: 400 invalid_query: status must be one of cancelled, completed, failed, queued, running, got 'done'"
    )  # fmt: skip
    assert said("run", "H2", "--priority", "1000") == (
        1, "kanad: 422 invalid_spec: $.priority: must be at most 100, got 1000"
    )  # fmt: skip
    code, words = said("run", "H2", "-m", "casci", "--active-space", "2x2")
    assert (code, "ELECTRONS,ORBITALS such as 6,6, or frozen_core, or AVAS labels" in words) == (2, True)
    assert "got '2x2'" in words


def test_a_server_says_what_is_wrong_with_a_setting() -> None:
    command = [sys.executable, "-m", "kanad_server", "serve", "--port", "99999"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "kanad: settings: port (KANAD_PORT) must be at most 65535, got 99999\n"


def test_serve_says_as_json_where_it_serves(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kanad_server", "serve", "--json", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        assert started.stdout is not None
        said = json.loads(started.stdout.readline())
        started.terminate()
    assert said["listening"].startswith("http://127.0.0.1:")
    assert (said["pid"], said["data_dir"]) == (started.pid, str(tmp_path))


def test_a_method_may_be_written_in_any_case(server: Server) -> None:
    done = kanad("run", "H2", "-m", "CCSD", "--task", "Energy", "--json", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert abs(json.loads(done.stdout)["energy_hartree"] + 1.13727017) < 1e-7  # of two electrons CCSD is full CI


def test_nothing_is_cut_where_the_output_is_piped(server: Server) -> None:
    name = "a name that is longer than any terminal is wide, and then some more of it " * 2
    posted = server.post(probe(steps=1, name=name.strip()))["id"]
    created = server.ended(posted)["created_at"]
    (line,) = [line for line in kanad("ls", url=server.url).stdout.splitlines() if line.startswith(posted)]
    assert name.strip() in line
    assert line.rstrip().endswith(created)


def test_one_that_waits_is_moved_forward_and_back(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    busy = server.post(probe(steps=100_000, step_ms=10, name="busy"))["id"]
    server.running(busy)
    first, second = (server.post(probe(steps=1, name=name))["id"] for name in ("first", "second"))
    moved = kanad("priority", second, "50", "--json", url=server.url)
    assert (moved.returncode, json.loads(moved.stdout)["queue_position"]) == (0, server.get(second)["queue_position"])
    assert server.get(second)["queue_position"] < server.get(first)["queue_position"]
    assert kanad("priority", second, "-50", url=server.url).returncode == 0
    assert server.get(second)["queue_position"] > server.get(first)["queue_position"]
    refused = kanad("priority", busy, "1", url=server.url)
    assert (refused.returncode, refused.stderr.startswith("kanad: 409 not_queued")) == (1, True)
    far = kanad("priority", second, "101", url=server.url)
    assert far.stderr == "kanad: 422 invalid_spec: $.priority: must be at most 100, got 101\n"


HYDROGEN_FLUORIDE = {
    "hf.pdb": (
        "HETATM    1  H   UNL     1       0.000   0.000   0.917  1.00  0.00           H\n"
        "HETATM    2  F   UNL     1       0.000   0.000   0.000  1.00  0.00           F\n"
        "CONECT    1    2\nEND\n"
    ),
    "hf.mol": (
        "\n     test          3D\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
        "    0.0000    0.0000    0.9170 H   0  0  0  0  0  0  0  0  0  0  0  0\n"
        "    0.0000    0.0000    0.0000 F   0  0  0  0  0  0  0  0  0  0  0  0\n"
        "  1  2  1  0\nM  END\n"
    ),
    "hf.xyz": "2\n\nH 0 0 0.917\nF 0 0 0\n",
}
HYDROGEN_FLUORIDE["hf.sdf"] = HYDROGEN_FLUORIDE["hf.mol"] + "$$$$\n"
QCSCHEMA = {
    "schema_name": "qcschema_input", "schema_version": 1, "driver": "energy",
    "model": {"method": "hf", "basis": "sto-3g"},
    "molecule": {
        "schema_name": "qcschema_molecule", "schema_version": 2, "symbols": ["H", "F"],
        "geometry": [0.0, 0.0, 0.917 / 0.529177210903, 0.0, 0.0, 0.0],
    },
}  # fmt: skip


def test_every_format_of_a_molecule_gives_the_same_energy(server: Server, tmp_path: Path) -> None:
    for name, text in {**HYDROGEN_FLUORIDE, "hf.json": json.dumps(QCSCHEMA)}.items():
        (tmp_path / name).write_text(text)
    names = sorted(path.name for path in tmp_path.iterdir())
    done = kanad("run", *(str(tmp_path / name) for name in names), "--json", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    energies = [json.loads(line)["result"]["energy_hartree"] for line in done.stdout.splitlines()]
    assert len(energies) == 5
    assert max(energies) - min(energies) < 1e-8
    assert abs(energies[0] + 98.57077999) < 1e-7  # RHF, PySCF 2.14.0


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


def every_command(server: Server, folder: Path) -> dict[str, list[str]]:
    """Words for each command, in an order in which they go; `server` has one slot."""
    url, data = ["--url", server.url], ["--data-dir", str(server.data)]
    done = server.ended(server.post(probe(steps=1))["id"])["id"]
    failed = server.ended(server.post(probe(fault="raise"))["id"])["id"]
    busy, waits = (server.post(probe(steps=100_000, step_ms=10, name=name))["id"] for name in ("busy", "waits"))
    server.running(busy)
    created = kanad("token", "create", "--name", "eve", "--json", "--data-dir", str(folder / "others"))
    return {
        "ls": url,
        "show": [done, *url],
        "watch": [done, *url],
        "priority": [waits, "5", *url],
        "cancel": [busy, *url],
        "retry": [failed, *url],
        "export": [done, "events.csv", "--to", str(folder), *url],
        "estimate": ["H2", *url],
        "methods": url,
        "run": ["H2", "--no-wait", *url],
        "doctor": data,
        "backup": [str(folder / "backup"), *data],
        "restore": [str(folder / "backup"), "--data-dir", str(folder / "restored")],
        "import": [str(folder / "all.jsonl"), "--data-dir", str(folder / "imported")],
        "token create": ["--name", "ana", "--data-dir", str(folder / "others")],
        "token ls": ["--data-dir", str(folder / "others")],
        "token revoke": [json.loads(created.stdout)["id"], "--data-dir", str(folder / "others")],
        "token forget": ["--data-dir", str(folder / "others")],
    }


def names_of(command: Any, before: str = "") -> list[str]:
    """The commands that there are, those of `token` by two words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [before.strip()]
    return [name for word, found in inner.items() for name in names_of(found, f"{before} {word}")]


@pytest.mark.parametrize("as_json", [True, False])
def test_what_every_command_prints_into_a_pipe(
    start_server: Callable[..., Server], tmp_path: Path, as_json: bool
) -> None:
    server = start_server("--slots", "1")
    commands = every_command(server, tmp_path)
    assert set(commands) == set(names_of(typer.main.get_command(app))) - {
        "serve",
        "load",
    }  # these have tests of their own
    kanad("export", str(tmp_path / "all.jsonl"), "--data-dir", str(server.data))
    for name, words in commands.items():
        done = kanad(*name.split(), *words, *(["--json"] * as_json))
        assert done.returncode == 0, (name, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr, name
        assert done.stdout, name
        if as_json:
            assert done.stderr == "", name
            assert all(isinstance(json.loads(line), dict | list) for line in done.stdout.splitlines()), name


def test_what_is_run_from_a_file_has_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "fluoride.xyz").write_text(HYDROGEN_FLUORIDE["hf.xyz"])
    (tmp_path / "named.json").write_text(json.dumps(probe(steps=0, name="by itself")))
    sources = [str(tmp_path / name) for name in ("fluoride.xyz", "named.json")]
    file, named = kanad("run", *sources, "--no-wait", url=server.url).stdout.split()
    assert (server.get(file)["name"], server.get(named)["name"]) == ("fluoride.xyz", "by itself")
    listed = kanad("ls", "--search", "fluoride", url=server.url)
    assert (f"{file}  fluoride.xyz" in listed.stdout, listed.stderr) == (True, "")
    told = kanad("run", sources[0], "--name", "mine", "--no-wait", url=server.url).stdout.strip()
    assert server.get(told)["name"] == "mine"


def test_every_option_of_an_experiment_reaches_the_server(server: Server) -> None:
    words = (
        "-m dft -b 6-31g* -o xc=pbe -o grid_level=2 --charge 1 --multiplicity 2 --gradient --solvent cpcm:ethanol"
        " --cartesian --wall-s 50 --memory-mb 900 --priority 3 --tag one --tag two --name said --fresh --no-wait --json"
    )
    done = kanad("run", "H2O", *words.split(), url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    posted = server.ended(json.loads(done.stdout)["id"])
    spec = posted["spec"]
    assert (posted["name"], posted["tags"], posted["priority"]) == ("said", ["one", "two"], 3)
    assert (spec["method"]["name"], spec["method"]["xc"], spec["method"]["grid_level"]) == ("dft", "pbe", 2)
    assert (spec["molecule"]["charge"], spec["molecule"]["multiplicity"], spec["basis"]) == (1, 2, "6-31g*")
    assert (spec["task"], spec["cartesian"]) == ({"name": "energy", "gradient": True}, True)
    assert spec["solvent"] == {"model": "cpcm", "name": "ethanol"}
    assert (spec["limits"]["wall_s"], spec["limits"]["memory_mb"]) == (50, 900)
    told = kanad("run", "LiH", "-m", "sqd", "-on_samples=500", "--seed", "4", "--no-wait", "--json", url=server.url)
    method = json.loads(told.stdout)["spec"]["method"]
    assert (method["n_samples"], method["seed"]) == (500, 4)
    window = kanad("run", "LiH", "-m", "vqe", "--active-space", "2,3", "--no-wait", "--json", url=server.url)
    space = json.loads(window.stdout)["spec"]["active_space"]
    assert (space["electrons"], space["orbitals"]) == (2, 3)
    wrong = kanad("run", "H2", "-m", "dft", "-o", "xc", url=server.url)
    assert (wrong.returncode, "an option is name=value, got 'xc'" in wrong.stderr) == (2, True)


def test_an_empty_list_says_that_it_is(server: Server) -> None:
    listed = kanad("ls", "--tag", "nobody has it", url=server.url)
    assert (listed.returncode, listed.stdout.split()[0], listed.stderr) == (0, "id", "there are none\n")
    assert kanad("ls", "--tag", "nobody has it", "--json", url=server.url).stdout == "[]\n"


def test_a_name_that_nothing_knows_is_explained(server: Server) -> None:
    done = kanad("run", "ethanol", url=server.url)
    assert done.returncode == 1
    assert "'ethanol'; a molecule's name must be one of the library's" in done.stderr


def test_a_file_that_is_not_there_is_a_usage_error(server: Server) -> None:
    done = kanad("run", "nowhere.xyz", url=server.url)
    assert done.returncode == 2
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0923, "0.092 s"), (83.0, "83 s"), (164.0, "2.7 min"), (1387.0, "23 min"), (9e5, "10 days")],
)
def test_a_time_is_said_in_two_digits(seconds: float, words: str) -> None:
    from kanad_server.cli.show import duration

    assert duration(seconds) == words


def test_no_help_loses_words() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kanad_server", "run", "--help"], capture_output=True, text=True, timeout=60,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert "Basis set (default: sto-3g)." in done.stdout
    assert re.search(r"\w \.\s", done.stdout) is None  # a default in brackets would be taken for markup


def test_a_chart_fills_its_width_and_labels_its_ends() -> None:
    from kanad_server.cli.chart import chart

    lines = chart([-1.0, -2.0, -2.5, -2.75], width=10, height=4)
    assert lines[0].startswith("-1.000000 ┤⡇") or lines[0].startswith("-1.000000 ┤")
    assert lines[-1].startswith("-2.750000 ┤")
    assert {len(line.split("┤")[1]) for line in lines} <= set(range(11))
    assert len(chart([1.0] * 5_000, width=10, height=2)) == 2
