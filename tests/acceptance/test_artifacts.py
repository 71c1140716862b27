"""Files of a finished experiment, over HTTP."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from tests.support.server import Server, probe

WATER = {"library": "H2O"}


@pytest.fixture(scope="module")
def optimised(server: Server) -> str:
    spec = {"molecule": WATER, "basis": "3-21g", "method": {"name": "hf"}, "task": {"name": "optimize"}}
    experiment = server.post(spec)
    assert server.ended(experiment["id"])["status"] == "completed"
    return str(experiment["id"])


def artifact(server: Server, experiment_id: str, name: str) -> bytes:
    response = server.http.get(f"/api/v1/experiments/{experiment_id}/artifacts/{name}")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith("attachment")
    return response.content


def names(server: Server, experiment_id: str) -> list[str]:
    page = server.http.get(f"/api/v1/experiments/{experiment_id}/artifacts").json()
    return [item["name"] for item in page["items"]]


def test_every_listed_file_is_served(server: Server, optimised: str) -> None:
    listed = names(server, optimised)
    assert {"structure.xyz", "trajectory.xyz", "orbitals.molden", "fcidump", "qcschema.json", "events.csv"} <= set(
        listed
    )
    assert {"orbital-5.cube", "orbital-6.cube"} <= set(listed)
    for name in listed:
        assert len(artifact(server, optimised, name)) > 100, name


def test_the_log_as_csv_is_the_log(server: Server, optimised: str) -> None:
    rows = list(csv.DictReader(io.StringIO(artifact(server, optimised, "events.csv").decode())))
    events = server.events(optimised)
    assert [int(row["seq"]) for row in rows] == [event["seq"] for event in events]
    assert [row["type"] for row in rows] == [event["type"] for event in events]


def test_the_trajectory_has_every_geometry_event(server: Server, optimised: str) -> None:
    frames = [event for event in server.events(optimised) if event["type"] == "geometry"]
    text = artifact(server, optimised, "trajectory.xyz").decode().splitlines()
    assert len(frames) > 2
    assert len(text) == 5 * len(frames)
    assert float(text[-5 + 1].split()[3]) == frames[-1]["energy_hartree"]


def test_any_orbital_is_served_and_no_other_name(server: Server, optimised: str) -> None:
    assert artifact(server, optimised, "orbital-1.cube").startswith(b"orbital 1")
    line, _, values = artifact(server, optimised, "orbitals.grid?orbitals=1,2,3").partition(b"\n")
    shape = json.loads(line)["shape"]
    assert np.frombuffer(values, "<f4").size == 3 * np.prod(shape)
    for name in ("orbital-99.cube", "orbital-0.cube", "circuit.qasm", "..%2f..%2fkanad.sqlite", "passwd"):
        response = server.http.get(f"/api/v1/experiments/{optimised}/artifacts/{name}")
        assert response.status_code == 404, name
    response = server.http.get(f"/api/v1/experiments/{optimised}/artifacts/orbitals.grid?orbitals=1,x")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


def test_a_circuit_is_kept_as_openqasm(server: Server) -> None:
    experiment = server.post({"molecule": {"library": "H2"}, "method": {"name": "vqe"}})
    server.ended(experiment["id"])
    assert artifact(server, experiment["id"], "circuit.qasm").startswith(b"OPENQASM 3.0;")


def test_there_are_no_files_before_the_end_and_none_after_deletion(server: Server, optimised: str) -> None:
    running = server.post(probe(steps=200, step_ms=20))["id"]
    response = server.http.get(f"/api/v1/experiments/{running}/artifacts")
    assert (response.status_code, response.json()["code"]) == (409, "not_finished")
    server.http.post(f"/api/v1/experiments/{running}/cancel")
    server.ended(running)
    kept = server.data / "files" / f"{optimised}.orbitals"
    assert kept.exists()
    assert server.http.delete(f"/api/v1/experiments/{optimised}").status_code == 204
    assert not kept.exists()
