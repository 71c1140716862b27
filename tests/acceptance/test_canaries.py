"""No string of a user reaches `eval`, `open`, or a shell: canaries in every string field, in front of audit hooks
in every process of a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.canaries import HOOK, specs
from tests.support.server import Server

CANARIES = [
    "__import__('os').system('touch {folder}/KANARIE')",
    "open('{folder}/KANARIE', 'w')",
    "{folder}/KANARIE",
    "../../../{folder}/KANARIE",
    "file:{folder}/KANARIE",
    "lambda: KANARIE",
    "(KANARIE := 9**9**9)",
    "$(touch {folder}/KANARIE)",
    "KANARIE\x00\n; touch KANARIE",
]


@pytest.fixture
def watched(tmp_path: Path, start_server: Callable[..., Server]) -> tuple[Server, Path]:
    """A server with an audit hook in each of its processes; the folder holds what they caught."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK)
    return start_server("--slots", "1", PYTHONPATH=str(hooks)), hooks


def test_canaries_in_every_string_field_stay_strings(watched: tuple[Server, Path], tmp_path: Path) -> None:
    server, hooks = watched
    accepted = []
    for text in CANARIES:
        canary = text.format(folder=tmp_path)
        for spec in specs(canary):
            response = server.http.post("/api/v1/experiments", json=spec)
            if response.status_code == 201:
                accepted.append(response.json())
            else:
                assert response.status_code in (400, 422), response.text
        for parameter in ("q", "tag", "method", "cursor", "sort"):
            assert server.http.get("/api/v1/experiments", params={parameter: canary}).status_code in (200, 400)
        assert server.http.get("/api/v1/experiments", headers={"Prefer": "wait=KANARIE"}).status_code == 200
    # Names, tags and the comment line of an XYZ text may hold anything; they are kept as they came.
    assert {experiment["name"] for experiment in accepted} >= {text.format(folder=tmp_path)[:200] for text in CANARIES}
    for experiment in accepted:
        assert server.ended(experiment["id"])["status"] == "completed"
    assert not (hooks / "caught").exists(), (hooks / "caught").read_text()
    assert not list(tmp_path.rglob("KANARIE"))


def test_files_of_the_machine_do_not_show_in_answers(server: Server) -> None:
    for name in ("/etc/passwd", "/proc/self/environ", "../../../../etc/passwd"):
        for spec in specs(name):
            response = server.http.post("/api/v1/experiments", json=spec)
            assert "root:" not in response.text
            assert "KANAD_PROBE_LEDGER" not in response.text


def test_the_hook_sees_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    script = tmp_path / "harm.py"
    script.write_text("import os; os.system(': KANARIE'); eval(repr('kanarie')); open('/dev/null/KANARIE')")
    subprocess.run([sys.executable, script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False)
    caught = {line.split()[0] for line in (tmp_path / "caught").read_text().splitlines()}
    assert caught == {"os.system", "compile", "open"}


def test_a_worker_sees_the_hook(watched: tuple[Server, Path]) -> None:
    server, hooks = watched
    worker = server.system()["slots"][0]["pid"]
    assert f"PYTHONPATH={hooks}".encode() in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
