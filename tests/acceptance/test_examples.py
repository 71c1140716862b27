"""What the docs show runs as it stands: Python and commands against a server, with the output that is shown below them;
specs through its estimate. `tests/support/docs.py` names who checks the other blocks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.docs import BLOCKS, ROOT, commands
from tests.support.server import Server

PROGRAMS = Path(sys.executable).parent
SAFE = (
    ".venv/bin/kanad run ",
    "kanad run ",
    "kanad load ",
    "kanad backup ",
    "kanad serve --enable-probe",
    "curl -s http",
)
"""How commands begin that change nothing of the machine."""
CHANGES = ("experiment  ", "solver time")
"""Lines of an output that are another in every run."""
FAILED_IF = 4
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(kind: str) -> list[Any]:
    """The blocks of a kind, named after their page."""
    return [pytest.param(block.code, id=block.name) for block in BLOCKS if block.kind == kind]


SCRIPTS = [
    pytest.param(block.code, [other.code for other in BLOCKS if other.printed_by == block.code], id=block.name)
    for block in BLOCKS
    if block.kind == "python"
]


def is_alike(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that agree in all but the last digit shown."""
    words, others = shown.split(), printed.split()
    return len(words) == len(others) and all(map(_is_alike, words, others))


def _is_alike(shown: str, printed: str) -> bool:
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    return all(
        abs(float(one) - float(other)) <= max(2 * 10.0 ** -len(one.partition(".")[2]), 1e-7)
        if "." in one
        else one == other
        for one, other in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    )


def is_of_its_shape(shown: str, printed: str) -> bool:
    """Whether two lines differ by numbers alone."""
    return NUMBER.sub("#", shown).split() == NUMBER.sub("#", printed).split()


@pytest.mark.docs
@pytest.mark.parametrize(("code", "shown"), SCRIPTS)
def test_a_block_of_python_prints_what_is_shown(server: Server, tmp_path: Path, code: str, shown: list[str]) -> None:
    script = tmp_path / "example.py"
    script.write_text(code.replace("http://127.0.0.1:8000", server.url))
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    printed = iter(done.stdout.splitlines())
    for line in "".join(shown).splitlines():  # in their order, with others between them
        assert any(is_alike(line, other) for other in printed), (line, done.stdout)


@pytest.mark.parametrize("spec", blocks("spec"))
def test_a_spec_is_one_that_the_server_takes(server: Server, spec: str) -> None:
    answer = server.http.post("/api/v1/estimate", content=spec, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["feasible"], answer.text


@pytest.mark.parametrize("campaign", blocks("campaign"))
def test_a_campaign_is_one_that_the_server_takes(server: Server, campaign: str) -> None:
    answer = server.http.post("/api/v1/campaigns", content=campaign, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text


def test_the_refusal_of_the_protocol_is_the_servers(server: Server) -> None:
    (refusal,) = blocks("refusal")
    atoms = [{"symbol": "H", "position_angstrom": [0.0, 0.0, z]} for z in (0.0, 0.1)]
    answer = server.http.post("/api/v1/experiments", json={"molecule": {"atoms": atoms}, "method": {"name": "hf"}})
    assert answer.json() == json.loads(refusal.values[0])


def test_only_commands_that_change_nothing_of_the_machine_are_run() -> None:
    said = [command for block in blocks("commands") for command, _ in commands(block.values[0])]
    assert [command for command in said if not command.startswith(SAFE)] == []


@pytest.mark.docs
@pytest.mark.skipif(shutil.which("curl") is None, reason="the docs use curl, and there is none")
@pytest.mark.parametrize("block", blocks("commands"))
def test_a_block_of_commands_runs(server: Server, tmp_path: Path, block: str) -> None:
    (tmp_path / ".venv").symlink_to(PROGRAMS.parent)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"KANAD_URL": server.url, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    ident = ""
    for command, shown in commands(block):
        assert command.startswith(SAFE), command
        if command.startswith("kanad serve "):
            continue  # the server of this test is one like that
        written = command.replace("http://127.0.0.1:8000", server.url).replace("/ID/", f"/{ident}/")
        written = written.replace("/var/lib/kanad", str(server.data)).replace("/backup/", f"{tmp_path}/")
        written = re.sub(r"\bcurl -s\b", "curl -sf", written)
        measures = written.startswith("kanad load ")
        if measures:
            written = re.sub(r"^kanad load (\S+)(.*?)( --duration \d+)?", r"kanad load \1 --duration 4\2", written)
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {written}"], cwd=tmp_path, env=environment, capture_output=True,
            text=True, timeout=100, check=False,
        )  # fmt: skip
        codes = (0, FAILED_IF) if "--fail-if" in command else (0,)  # it was said of another machine
        assert done.returncode in codes, (command, done.stdout, done.stderr)
        assert done.stderr == "", command
        printed = done.stdout.splitlines()
        assert printed, command
        if printed[0].startswith("{"):
            ident = json.loads(done.stdout)["id"]
        is_same = is_of_its_shape if measures else is_alike
        for line in shown:
            assert line.startswith(CHANGES) or any(is_same(line, other) for other in printed), line
