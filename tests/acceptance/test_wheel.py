"""The wheel as a user gets it: installed into an empty environment, it serves the pages and computes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import LISTENING, wait_for

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]


def said(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command prints; it must end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= variables
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it depends on, and nothing else; returns its programs."""
    folder = tmp_path_factory.mktemp("wheel")
    said(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").iterdir()
    said(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv/bin"
    said(programs / "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


@pytest.fixture(scope="module")
def url(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`kanad serve` of that environment, in a folder of its own."""
    folder = tmp_path_factory.mktemp("serve")
    with (folder / "log").open("w") as log:
        command = [str(installed / "kanad"), "serve", "--port", "0", "--slots", "1"]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            assert line.startswith(LISTENING), (folder / "log").read_text()
            yield line.removeprefix(LISTENING).strip()
        finally:
            server.terminate()
            assert server.wait(20) == 0


def test_a_machine_without_node_builds_the_pages(tmp_path: Path) -> None:
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    shutil.copytree(ROOT / "frontend", tmp_path / "frontend", ignore=shutil.ignore_patterns("node_modules"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env"):
        (tools / name).symlink_to(shutil.which(name) or name)
    said(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    said(tmp_path / "venv/bin/python", "hatch_build.py", cwd=tmp_path, PATH=str(tools))
    assert (tmp_path / "venv/bin/node").exists(), "it came as a package"
    pages = tmp_path / "src/kanad_server/static"
    named = json.loads((pages / "manifest.json").read_text())
    assert named["initial"]
    for name in ("index.html", "docs.html", *named["files"]):
        assert (pages / name).stat().st_size > 0


def test_pip_finds_nothing_wrong(installed: Path) -> None:
    assert said(installed / "pip", "check", cwd=installed) == "No broken requirements found.\n"


def test_the_pages_and_all_that_they_load_are_in_it(url: str) -> None:
    page = httpx.get(url)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert any(path.endswith(".js") for path in loaded)
    for path in loaded:
        assert httpx.get(url + path).status_code == 200, path


def test_it_computes_by_http_and_by_its_command(installed: Path, url: str, tmp_path: Path) -> None:
    wait_for(lambda: httpx.get(f"{url}/health/ready").status_code == 200, "the server to be ready", 60)
    asked = {"molecule": {"library": "H2"}, "method": {"name": "fci"}}
    experiment = httpx.post(f"{url}/api/v1/experiments", json=asked, headers={"Prefer": "wait=60"}, timeout=90).json()
    assert experiment["status"] == "completed"
    printed = said(installed / "kanad", "run", "[H][H]", "-m", "hf", "--json", "--url", url, cwd=tmp_path)
    assert json.loads(printed)["energy_hartree"] == pytest.approx(-1.11729324, abs=1e-7)  # the published log's


def test_it_loads_nothing_that_only_extras_have(installed: Path, tmp_path: Path) -> None:
    names = ("ase", "qcelemental", "qcengine", "anywidget", "pandas", "ffsim", "pytest")
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert said(installed / "python", "-c", code, cwd=tmp_path) == "[]\n"
