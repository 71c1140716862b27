"""Being watched: figures that move, health that tells the truth, a dashboard that names what there is."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.sync.client import connect

from kanad_server.errors import Unavailable
from kanad_server.service import Service
from tests.support.server import Server, probe, wait_for

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/kanad.json"
NAME = re.compile(r"\bkanad_\w+")


def figures(server: Server) -> dict[str, float]:
    """Every sample of a scrape."""
    lines = server.http.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_the_figures_follow_what_happens(server: Server) -> None:
    before = figures(server)
    run = server.post(probe(steps=200, step_ms=20, name="watched"))
    server.running(run["id"])
    with connect(f"ws{server.url[4:]}/api/v1/experiments/{run['id']}/stream?after=0") as viewer:
        viewer.recv(timeout=20)
        during = figures(server)
        assert during["kanad_viewers"] == before["kanad_viewers"] + 1
        assert during['kanad_slots{state="running"}'] == 1
        assert during['kanad_experiments{status="running"}'] == 1
        assert during["kanad_connections"] >= 1
        assert during["kanad_viewer_lag_events"] >= 0
    server.http.post(f"/api/v1/experiments/{run['id']}/cancel")
    assert server.ended(run["id"])["status"] == "cancelled"
    sampled = "kanad_loop_stall_seconds_count"
    wait_for(lambda: figures(server)[sampled] > before.get(sampled, 0), "the event loop to be sampled")
    after = figures(server)
    for name, least in (
        ('kanad_experiments{status="cancelled"}', 1), ("kanad_queue_wait_seconds_count", 1),
        ('kanad_run_seconds_count{status="cancelled"}', 1), ("kanad_events_total", 4), ("kanad_commits_total", 2),
        ('kanad_http_answers_total{status="200"}', 1),
    ):  # fmt: skip
        assert after[name] >= before.get(name, 0) + least, name
    assert server.http.get("/api/v1/experiments/nobody").status_code == 404
    assert figures(server)["kanad_refused_requests_total"] > after["kanad_refused_requests_total"] - 1
    assert after["kanad_ready"] == 1
    assert after["kanad_disk_free_bytes"] > 0


def test_the_life_of_an_experiment_is_in_the_log_by_its_id(server: Server) -> None:
    failed = server.ended(server.post(probe(steps=1, step_ms=0, fault="raise"))["id"])

    def lines() -> list[dict[str, Any]]:
        every = map(json.loads, server.log().splitlines())
        found = [line for line in every if line.get("experiment_id") == failed["id"]]
        return found if any(line["message"] == "experiment failed" for line in found) else []

    told = {line["message"]: line for line in wait_for(lines, "the last line")}
    assert set(told) == {"experiment running", "solver raised", "experiment failed"}
    assert {line["attempt"] for line in told.values()} == {"1"}
    last = told["experiment failed"]
    assert (last["level"], last["code"]) == ("warning", failed["error"]["code"])
    assert "RuntimeError: the probe was told to raise" in told["solver raised"]["cause"]


def test_the_dashboard_names_figures_that_exist(server: Server) -> None:
    server.ended(server.post(probe(steps=1, step_ms=0, name="one end"))["id"])
    known = {name.partition("{")[0] for name in figures(server)}
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for expression in expressions for name in NAME.findall(expression)}
    assert named - known == set()
    assert len(named) > 20


def test_a_worker_that_dies_while_idle_is_replaced(server: Server) -> None:
    def pids() -> set[int | None]:
        return {slot["pid"] for slot in server.system()["slots"] if slot["state"] == "idle"}

    wait_for(lambda: len(pids() - {None}) == 2, "two idle workers")
    before = pids()
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(pids() - before - {None}) == 2, "two others")
    assert server.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"draining": True}, "going down"), ({"failure": Unavailable("x", "disk full")}, "cannot write"),
     ({"states": ["starting", "starting"]}, "no slot is alive"), ({"states": ["starting", "idle"]}, None), ({}, None)],
)  # fmt: skip
def test_ready_is_told_only_when_it_is_true(changes: dict[str, Any], reason: str | None) -> None:
    slots = [SimpleNamespace(view=lambda state=state: SimpleNamespace(state=state))
             for state in changes.get("states", ["running", "idle"])]  # fmt: skip
    service: Any = SimpleNamespace(
        dispatch=SimpleNamespace(is_draining=changes.get("draining", False)),
        journal=SimpleNamespace(failure=changes.get("failure")),
        engine=SimpleNamespace(slots=slots),
    )
    reasons = Service.unready(service)
    assert reasons == [] if reason is None else reason in reasons[0]
