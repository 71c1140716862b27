"""What the docs show runs as it stands: Python against a server, specs through its estimate."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def blocks(language: str) -> list[Any]:
    """Every block of a language in the docs, named after its page."""
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, block in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        )
    ]


SPECS = [block for block in blocks("json") if {"molecule", "method"} <= json.loads(block.values[0]).keys()]


@pytest.mark.docs
@pytest.mark.parametrize("code", blocks("python"))
def test_a_block_of_python_runs(server: Server, tmp_path: Path, code: str) -> None:
    script = tmp_path / "example.py"
    script.write_text(code.replace("http://127.0.0.1:8000", server.url))
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_is_one_that_the_server_takes(server: Server, spec: str) -> None:
    answer = server.http.post("/api/v1/estimate", content=spec, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["feasible"], answer.text
