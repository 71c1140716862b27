"""schemathesis reads the OpenAPI document and tries every operation with what fits it and what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.people import bearer, token_for
from tests.support.server import Server

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(1_000)]
CASES = int(os.environ.get("KANAD_FUZZ_CASES", "200"))
LIMIT_S = int(os.environ.get("KANAD_FUZZ_S", "900"))
SEED = int(os.environ.get("KANAD_FUZZ_SEED", "20260101"))
EXPERIMENTS = "^/api/v1/experiments"
# What fits the schema may still be no molecule or no calculation: JSON Schema cannot say so, 422 does.
LEFT_OUT = "positive_data_acceptance"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one slot in which few experiments may wait, so that what is accepted costs little."""
    folder = tmp_path_factory.mktemp("fuzzed")
    running = Server(folder, "--slots", "1", environment={"KANAD_MAX_WAITING_PER_PERSON": "20"})
    running.ready()
    yield running
    assert running.stop() == 0, running.log()


def fuzz(server: Server, folder: Path, *options: str) -> list[dict[str, Any]]:
    """The reports of two runs beside each other, which together try every operation: one alone keeps one core busy."""
    halves = [("--include-path-regex", EXPERIMENTS), ("--exclude-path-regex", EXPERIMENTS)]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda half: _fuzz(server, folder / half[0].strip("-"), *half, *options), halves))


def _fuzz(server: Server, folder: Path, *options: str) -> dict[str, Any]:
    folder.mkdir()
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json",
        "--max-examples", str(CASES), "--phases", "coverage,fuzzing,stateful", "--exclude-checks", LEFT_OUT,
        "--continue-on-failure", "--seed", str(SEED),
        "--max-response-time", "5", "--no-color", "--warnings", "off",
        "--report", "json", "--report-json-path", str(folder / "report.json"), *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=folder)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    report["words"] = done.stdout[-6_000:]
    return report


def check(server: Server, reports: list[dict[str, Any]]) -> None:
    """Nothing that the document does not say, and no operation left out."""
    paths = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()["paths"]
    generated = sum(report["test_cases"]["generated"] for report in reports)
    tested = sum(report["operations"]["tested"] for report in reports)
    print(f"{generated} cases of {tested} operations, seed {SEED}")
    for report in reports:
        assert report["failures"] == [], report["words"]
        assert report["errors"] == [], report["words"]
    assert tested == sum(map(len, paths.values()))
    assert server.http.get("/health/live").status_code == 200
    assert '"level":"error"' not in server.log()


def test_every_operation_answers_as_documented(fuzzed: Server, tmp_path: Path) -> None:
    check(fuzzed, fuzz(fuzzed, tmp_path))
    assert fuzzed.http.get("/health/ready").status_code == 200


def test_every_operation_answers_as_documented_where_tokens_are_needed(fuzzed: Server, tmp_path: Path) -> None:
    token = token_for(fuzzed, "ana", "user")
    header = f"Authorization: {bearer(token)['Authorization']}"
    check(fuzzed, fuzz(fuzzed, tmp_path, "-H", header, "--phases", "fuzzing", "--max-examples", "20"))
