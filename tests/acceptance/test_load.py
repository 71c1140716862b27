"""``kanad load`` against real servers: each scenario small, what it finds, what it refuses, and the churn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kanad_server.cli.main import app
from tests.support.people import token_for
from tests.support.server import Server, probe, wait_for

StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def without_probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("chemistry"), "--slots", "1", enable_probe=False)
    server.ready()
    yield server
    server.stop()


def load(*arguments: str, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kanad_server", "load", *arguments],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def report_of(tmp_path: Path, *arguments: str, timeout_s: float = 110, code: int = 0) -> dict[str, Any]:
    path = tmp_path / "report.json"
    done = load(*arguments, "--json", str(path), timeout_s=timeout_s)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(path.read_text())
    assert report["metrics"]["violations"] == len(report["violations"])
    return dict(report)


def test_a_submit_storm_is_timed_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    report = report_of(tmp_path, "submit", "--url", server.url, "--duration", "1", "--rate", "10")
    metrics = report["metrics"]
    assert metrics["due"] == metrics["accepted"] == metrics["completed"] == metrics["checked_results"] > 5
    assert metrics["events"] == 10 * metrics["completed"]
    for name in ("submit", "service", "queue_wait", "e2e", "connect"):
        assert 0 <= metrics[f"{name}_p50_ms"] <= metrics[f"{name}_p99_ms"] <= metrics[f"{name}_max_ms"]
    assert metrics["submit_max_ms"] >= metrics["service_p50_ms"]
    assert (metrics["lost"], metrics["errors"], metrics["refused"]) == (0, 0, 0)
    assert report["clock_offset_ms"] is None
    assert report["server"]["kanad-server"]


def test_a_report_in_a_pipe_is_json_alone(server: Server) -> None:
    done = load("submit", "--url", server.url, "--duration", "1", "--rate", "5", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["completed"] > 1
    assert "completed" in done.stderr


@pytest.mark.slow
def test_without_viewers_the_log_is_checked(server: Server, tmp_path: Path) -> None:
    report = report_of(tmp_path, "submit", "--url", server.url, "--duration", "1", "--rate", "10", "--viewers", "0")
    metrics = report["metrics"]
    assert (metrics["connects"], metrics["events"]) == (0, 10 * metrics["completed"])
    assert metrics["completed"] == metrics["accepted"] > 0
    assert metrics["e2e_p50_ms"] > 0


def test_a_fan_out_over_two_processes_delivers_all_to_all(server: Server, tmp_path: Path) -> None:
    report = report_of(
        tmp_path, "fanout", "--url", server.url, "--duration", "1", "--viewers", "21", "--experiments", "2",
        "--procs", "2", "--payload-bytes", "100", "--steps", "40",
    )  # fmt: skip
    metrics = report["metrics"]
    assert metrics["events"] == 21 * (40 * 2 + 5)
    assert (metrics["accepted"], metrics["completed"], metrics["connects"]) == (2, 2, 21)
    assert metrics["delivery_p50_ms"] > 0
    assert len(report["client_cpu_percent"]) == 2


@pytest.mark.slow
def test_a_real_method_can_be_mixed_in(server: Server, tmp_path: Path) -> None:
    report = report_of(tmp_path, "submit", "--url", server.url, "--duration", "1", "--rate", "5", "--method", "hf")
    assert report["metrics"]["completed"] == report["metrics"]["accepted"] > 0


@pytest.mark.slow
def test_a_mixed_load_from_a_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "mixed"\nduration_s = 2\nviewers = 10\nrate = 5\narrivals = "constant"\n')
    metrics = report_of(tmp_path, str(path), "--url", server.url)["metrics"]
    assert metrics["accepted"] == metrics["completed"] == 11
    assert metrics["cuts"] > 0


def test_a_condition_that_holds_gives_exit_code_four(server: Server, tmp_path: Path) -> None:
    options = ("submit", "--url", server.url, "--duration", "0.5", "--fail-if", "lost>0")
    report = report_of(tmp_path, *options, "--fail-if", "e2e_p50_ms>0.001", code=4)
    assert len(report["conditions"]) == 1
    assert report["conditions"][0].startswith("e2e_p50_ms>0.001: e2e_p50_ms is ")


@pytest.mark.slow
def test_what_does_not_end_in_time_is_lost(server: Server, tmp_path: Path) -> None:
    report = report_of(
        tmp_path, "fanout", "--url", server.url, "--duration", "0.5", "--grace", "0.5", "--steps", "100000",
        "--viewers", "4", "--experiments", "1", code=3,
    )  # fmt: skip
    assert [violation["fault"] for violation in report["violations"]] == ["lost"]
    assert report["metrics"]["lost"] == 1
    server.http.post(f"/api/v1/experiments/{report['violations'][0]['experiment_id']}/cancel")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("strom",), "there is no scenario 'strom'"),
        (("submit", "--fail-if", "speed>1"), "there is no metric 'speed'"),
        (("submit", "--rate", "-1"), "$.rate"),
        (("submit", "--restart-at", "1"), "needs --private"),
        (("submit", "--url", "nowhere"), "--url must be"),
    ],
)
def test_a_bad_call_is_refused_before_anything_runs(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(app, ["load", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_away_or_without_the_probe_is_named(without_probe: Server) -> None:
    away = load("submit", "--url", "http://127.0.0.1:1")
    assert away.returncode == 1
    assert "does not answer" in away.stderr
    assert "--private" in away.stderr
    refused = load("submit", "--url", without_probe.url)
    assert refused.returncode == 1
    assert "start it with kanad serve --enable-probe" in refused.stderr
    assert without_probe.http.get("/api/v1/experiments").json()["items"] == []


def test_ctrl_c_ends_with_the_table_and_takes_back_what_runs(server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kanad_server", "load", "fanout", "--url", server.url, "--duration", "600",
         "--viewers", "3", "--experiments", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: server.system()["viewers"] == 3, "the viewers")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "lines        3 opened" in out
    newest = server.http.get("/api/v1/experiments?limit=1&tag=kanad-load").json()["items"][0]
    assert server.ended(newest["id"])["status"] == "cancelled"


@pytest.mark.slow
def test_a_foreign_stream_is_not_disturbed(server: Server, tmp_path: Path) -> None:
    """A person's own experiment runs through a load unharmed."""
    mine = server.post(probe(steps=20, step_ms=10))["id"]
    report_of(tmp_path, "submit", "--url", server.url, "--duration", "1", "--rate", "20")
    assert server.ended(mine)["status"] == "completed"


def churn(tmp_path: Path, *options: str, timeout_s: float) -> dict[str, Any]:
    report = report_of(tmp_path, "churn", "--private", *options, timeout_s=timeout_s)
    metrics = dict(report["metrics"])
    assert (metrics["gaps"], metrics["duplicates"], metrics["reorders"], metrics["lost"]) == (0, 0, 0, 0)
    assert report["violations"] == []
    assert metrics["completed"] == metrics["accepted"] == 2
    assert metrics["cuts"] > 0
    assert metrics["reconnects"] > 0.9 * metrics["cuts"]  # but for those that had the end before they were back
    return metrics


def test_fifty_viewers_that_come_and_go_miss_nothing(tmp_path: Path) -> None:
    metrics = churn(tmp_path, "--viewers", "50", "--duration", "3", timeout_s=110)
    assert metrics["events"] == 50 * (120 + 5)


@pytest.mark.slow
def test_viewers_miss_nothing_when_the_server_is_killed_under_them(tmp_path: Path) -> None:
    metrics = churn(tmp_path, "--viewers", "20", "--duration", "4", "--restart-at", "2", timeout_s=110)
    assert metrics["events"] > 20 * (160 + 5)
    assert metrics["reconnects"] > metrics["cuts"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["msgpack", "stream", "sse"])
def test_viewers_that_come_and_go_miss_nothing_on_any_way(tmp_path: Path, way: str) -> None:
    metrics = churn(tmp_path, "--viewers", "50", "--duration", "5", "--way", way, timeout_s=110)
    assert metrics["events"] == 50 * (200 + 5)


def test_a_server_with_people_is_loaded_as_one_of_them(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--slots", "1")
    token = token_for(server, "ana")
    refused = load("submit", "--url", server.url)
    assert refused.returncode == 1
    assert "--token" in refused.stderr
    report = report_of(
        tmp_path, "fanout", "--url", server.url, "--token", token, "--duration", "0.5", "--viewers", "3",
        "--experiments", "1", "--way", "sse",
    )  # fmt: skip
    assert report["metrics"]["events"] == 3 * (20 + 5)
    assert token not in json.dumps(report)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_five_hundred_viewers_that_come_and_go_for_a_minute_miss_nothing(tmp_path: Path) -> None:
    metrics = churn(
        tmp_path, "--viewers", "500", "--duration", "60", "--cut-rate", "100", "--grace", "60", timeout_s=220
    )
    assert metrics["events"] == 500 * (2400 + 5)
    assert metrics["cuts"] > 5000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_hundred_viewers_miss_nothing_when_the_server_is_killed_half_way(tmp_path: Path) -> None:
    churn(
        tmp_path, "--viewers", "500", "--duration", "60", "--cut-rate", "50", "--grace", "90", "--restart-at", "30",
        timeout_s=280,
    )  # fmt: skip
