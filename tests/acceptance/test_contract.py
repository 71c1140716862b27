"""The contract over HTTP: every call, every field, as others depend on them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.routing import Mount, Route

from kanad_server.app import routes
from kanad_server.http.pages import PAGES
from kanad_solvers.registry import METHODS, TASKS
from tests.support.server import H2_ATOMS, Server, probe

API = "/api/v1/experiments"
EXPERIMENT_FIELDS = {
    "id", "name", "tags", "priority", "status", "spec", "spec_hash", "attempt", "progress", "energy_hartree", "error",
    "queue_position", "last_seq", "created_at", "started_at", "finished_at", "reused_from",
}  # fmt: skip
STAMPS = {"type", "experiment_id", "attempt", "seq", "time"}
EVENT_FIELDS = {
    "status": {"status", "progress"},
    "stage": {"stage", "last_stage", "message", "energy_hartree"},
    "convergence": {"series", "iteration", "energy_hartree", "delta_hartree", "residual"},
    "state": {"index", "energy_hartree", "excitation_ev", "oscillator_strength", "s_squared"},
    "log": {"level", "message"},
}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
WATER = {
    "name": "water",
    "molecule": {"library": "H2O"},
    "method": {"name": "hf"},
    "tags": ["wet", "small"],
    "fresh": True,
}


def completed(server: Server, spec: dict[str, Any]) -> dict[str, Any]:
    """The experiment, run to its end."""
    experiment = server.ended(server.post(spec)["id"])
    assert experiment["status"] == "completed", experiment
    return experiment


@pytest.fixture(scope="module")
def water(server: Server) -> dict[str, Any]:
    """Water by Hartree-Fock, completed."""
    return completed(server, WATER)


def test_an_accepted_experiment_has_every_field_and_its_place(server: Server) -> None:
    response = server.http.post(API, json=WATER)
    experiment = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{API}/{experiment['id']}"
    assert set(experiment) >= EXPERIMENT_FIELDS
    assert experiment["spec"]["basis"] == "sto-3g"
    assert experiment["spec"]["molecule"]["multiplicity"] == 1
    assert (experiment["name"], experiment["tags"]) == ("water", ["wet", "small"])
    assert re.fullmatch(TIME, experiment["created_at"])
    assert set(experiment["progress"]) == {"percent", "stage", "iteration", "energy_hartree", "eta_s"}
    assert experiment["last_seq"] >= 1


def test_a_completed_experiment_tells_energy_and_times(server: Server, water: dict[str, Any]) -> None:
    assert set(water) >= EXPERIMENT_FIELDS
    assert water["progress"]["percent"] == 100
    assert water["energy_hartree"] == pytest.approx(-74.963, abs=1e-3)  # RHF/STO-3G near the experimental geometry
    assert water["created_at"] <= water["started_at"] <= water["finished_at"]
    assert water["queue_position"] is None
    assert water["error"] is None


def test_equal_specs_have_equal_hashes_whatever_they_are_called(server: Server, water: dict[str, Any]) -> None:
    other = completed(server, WATER | {"name": "something else", "tags": [], "priority": 3})
    assert other["spec_hash"] == water["spec_hash"]
    assert completed(server, WATER | {"basis": "6-31g"})["spec_hash"] != water["spec_hash"]


def test_events_have_their_fields_and_pages_join_without_a_seam(server: Server, water: dict[str, Any]) -> None:
    whole = server.events(water["id"])
    for event in whole:
        assert set(event) >= STAMPS | EVENT_FIELDS[event["type"]], event
        assert event["experiment_id"] == water["id"]
        assert re.fullmatch(TIME, event["time"])
    joined: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = server.http.get(f"{API}/{water['id']}/events", params={"after": after, "limit": 2}).json()
        joined += page["items"]
        after = page["next_after"]
    assert joined == whole
    assert server.http.get(f"{API}/{water['id']}/events?after={whole[-1]['seq']}").json()["items"] == []


def test_the_result_of_hartree_fock_has_its_parts(server: Server, water: dict[str, Any]) -> None:
    result = server.result(water["id"])
    assert result["energy_hartree"] == water["energy_hartree"]
    assert result["converged"] is True
    assert result["components"]["hf_hartree"] == result["energy_hartree"]
    assert result["reference"] == {"type": "rhf", "s_squared": 0.0}
    assert len(result["orbitals"]["energies_hartree"]) == len(result["orbitals"]["occupations"]) == 7
    assert result["orbitals"]["homo_hartree"] < 0 < result["orbitals"]["lumo_hartree"]
    assert sum(result["properties"]["mulliken_charges"]) == pytest.approx(0, abs=1e-8)
    assert [bond["atoms"] for bond in result["properties"]["bond_orders"]] == [[0, 1], [0, 2]]
    assert len(result["properties"]["dipole_debye"]) == 3
    assert result["geometry"]["symbols"] == ["O", "H", "H"]
    assert {"versions", "wall_s", "cpu_s", "peak_rss_mb", "threads"} <= set(result["provenance"])
    assert result["provenance"]["threads"] == 1


@pytest.mark.parametrize("method", ["hf", "fci"])
def test_excited_states_come_as_events_and_in_the_result(server: Server, method: str) -> None:
    spec = {
        "molecule": {"library": "H2"},
        "basis": "6-31g",
        "method": {"name": method},
        "task": {"name": "excited_states", "n_states": 2},
    }
    experiment = completed(server, spec)
    states = server.result(experiment["id"])["states"]
    assert [state["index"] for state in states] == [0, 1, 2]
    assert states[1]["excitation_ev"] == pytest.approx(
        (states[1]["energy_hartree"] - states[0]["energy_hartree"]) * 27.211386, rel=1e-6
    )
    events = [event for event in server.events(experiment["id"]) if event["type"] == "state"]
    assert [event["energy_hartree"] for event in events] == [state["energy_hartree"] for state in states]
    assert all(set(event) >= STAMPS | EVENT_FIELDS["state"] for event in events)


def test_a_gradient_is_given_where_it_was_asked_for(server: Server) -> None:
    spec = {"molecule": {"library": "H2O"}, "method": {"name": "hf"}, "task": {"name": "energy", "gradient": True}}
    gradient = server.result(completed(server, spec)["id"])["properties"]["gradient_hartree_per_bohr"]
    assert [len(row) for row in gradient] == [3, 3, 3]
    assert [sum(column) for column in zip(*gradient, strict=True)] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_result_before_the_end_is_409(server: Server) -> None:
    experiment_id = server.post(probe(steps=1000, step_ms=10))["id"]
    response = server.http.get(f"{API}/{experiment_id}/result")
    assert (response.status_code, response.json()["code"]) == (409, "not_finished")
    server.http.post(f"{API}/{experiment_id}/cancel")
    server.ended(experiment_id)
    assert server.http.get(f"{API}/{experiment_id}/result").json()["code"] == "no_result"


def test_the_list_filters_sorts_and_pages_without_gap_or_repeat(server: Server) -> None:
    made = [completed(server, probe(steps=1, step_ms=0, name=f"page {i}") | {"tags": ["paged"]}) for i in range(5)]
    for sort in ("created_at", "-created_at", "finished_at", "-energy_hartree", "name", "-name"):
        seen: list[str] = []
        cursor: str | None = None
        while True:
            wanted = {"tag": "paged", "sort": sort, "limit": 2} | ({} if cursor is None else {"cursor": cursor})
            page = server.http.get(API, params=wanted).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == [experiment["id"] for experiment in made], sort
        if sort in ("name", "created_at"):
            assert seen == [experiment["id"] for experiment in made]
        if sort in ("-name", "-created_at"):
            assert seen == [experiment["id"] for experiment in reversed(made)]
    items = server.http.get(API, params={"q": "PAGE 3"}).json()["items"]
    assert [item["name"] for item in items] == ["page 3"]
    assert {item["spec"]["method"]["name"] for item in server.http.get(f"{API}?method=probe").json()["items"]} == {
        "probe"
    }
    assert all(item["status"] == "failed" for item in server.http.get(f"{API}?status=failed").json()["items"])
    assert server.http.get(API, params={"tag": "nowhere"}).json() == {"items": [], "next_cursor": None}


def test_priority_goes_first_and_equals_go_in_order(server: Server) -> None:
    blockers = [server.post(probe(steps=100_000, step_ms=10))["id"] for _ in range(2)]
    for blocker in blockers:
        server.running(blocker)
    low, high = (server.post(probe(steps=1) | {"priority": priority})["id"] for priority in (0, 5))
    assert (server.get(low)["queue_position"], server.get(high)["queue_position"]) == (2, 1)
    assert server.system()["queue_length"] == 2
    for blocker in blockers:
        server.http.post(f"{API}/{blocker}/cancel")
    assert server.ended(high)["started_at"] <= server.ended(low)["started_at"]


def test_an_estimate_has_every_field(server: Server) -> None:
    spec = {"molecule": {"library": "N2"}, "basis": "6-31g", "method": {"name": "fci"},
            "active_space": {"electrons": 6, "orbitals": 6}}  # fmt: skip
    estimate = server.http.post("/api/v1/estimate", json=spec).json()
    assert set(estimate) == {
        "feasible", "reason", "basis_functions", "determinants", "qubits", "memory_mb", "seconds", "suggestion",
    }  # fmt: skip
    assert (estimate["feasible"], estimate["determinants"], estimate["qubits"]) == (True, 400, 12)  # C(6,3)^2
    assert estimate["basis_functions"] == 18
    assert 0 <= estimate["seconds"][0] <= estimate["seconds"][1]


@pytest.mark.parametrize(
    "source",
    [{"smiles": "O"}, {"library": "water"}, {"xyz": "O 0 0 0.117\nH 0 0.757 -0.469\nH 0 -0.757 -0.469"}],
)
def test_parse_gives_atoms_formula_and_electrons(server: Server, source: dict[str, str]) -> None:
    parsed = server.http.post("/api/v1/molecules/parse", json=source).json()
    assert (parsed["formula"], parsed["electrons"], parsed["multiplicity"], parsed["charge"]) == ("H2O", 10, 1, 0)
    assert parsed["geometry"]["symbols"] == ["O", "H", "H"]
    assert bool(parsed["warnings"]) == ("smiles" in source)  # a guessed geometry is said to be one


def test_every_molecule_of_the_library_is_accepted(server: Server) -> None:
    items = server.http.get("/api/v1/molecules").json()["items"]
    assert len(items) >= 20
    for item in items:
        assert item["source"]
        spec = {"molecule": {"library": item["name"]}, "basis": "def2-svp", "method": {"name": "hf"}}
        assert server.http.post("/api/v1/estimate", json=spec).json()["feasible"] is True


def test_methods_name_their_tasks_and_options(server: Server) -> None:
    page = server.http.get("/api/v1/methods").json()
    methods = {method["name"]: method for method in page["methods"]}
    assert [name for name in methods if name != "probe"] == list(METHODS)
    for name, entry in METHODS.items():
        assert tuple(methods[name]["tasks"]) == entry.tasks
    assert set(methods["sqd"]["options"]["properties"]) >= {
        "sampler", "counts", "n_samples", "noise", "samples_per_batch", "n_batches", "max_iterations", "n_states",
        "seed",
    }  # fmt: skip
    assert methods["sqd"]["options"]["properties"]["n_states"]["default"] == 1
    assert [task["name"] for task in page["tasks"]] == list(TASKS)
    assert "sto-3g" in page["basis_sets"]


def test_every_offered_combination_runs(server: Server) -> None:
    for method in server.http.get("/api/v1/methods").json()["methods"]:
        for task in method["tasks"]:
            spec = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": method["name"]}, "task": {"name": task}}
            if task == "excited_states":
                spec["task"]["n_states"] = 1
            if task == "scan":
                spec["task"] |= {"coordinate": {"type": "bond", "atoms": [0, 1]}, "values": [0.7, 0.8]}
            if method["name"] in ("casci", "casscf"):
                spec["active_space"] = {"electrons": 2, "orbitals": 2}
            completed(server, spec)


def test_system_health_and_metrics_tell_how_it_is(server: Server) -> None:
    system = server.system()
    assert {"python", "pyscf", "kanad-server"} <= set(system["versions"])
    assert len(system["slots"]) == 2
    for slot in system["slots"]:
        assert set(slot) == {"name", "state", "experiment_id", "pid", "cpu_s", "memory_mb"}
    assert server.http.get("/health/live").json()["status"] == "ok"
    assert server.http.get("/health/ready").json() == {"status": "ok", "reasons": []}
    metrics = server.http.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    for name in ("kanad_experiments", "kanad_slots", "kanad_queue_length", "kanad_viewers", "kanad_events_total"):
        assert re.search(rf"^{name}\b.* \d", metrics.text, re.MULTILINE), name


def test_the_openapi_document_is_valid_and_names_every_route(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    validate(document)
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    served = set()
    for entry in routes():
        prefix, inner = (entry.path, entry.routes) if isinstance(entry, Mount) else ("", [entry])
        for route in inner:
            if isinstance(route, Route):
                served |= {(method, prefix + route.path) for method in (route.methods or set()) - {"HEAD"}}
    pages = {("GET", path) for path in (*PAGES, "/assets/{name}", "/docs")}
    assert served - described == {("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/asyncapi.json")} | pages
    assert described <= served


def test_answers_carry_the_headers_that_browsers_heed(server: Server) -> None:
    for path in ("/", "/docs", "/health/live", f"{API}/none", "/nowhere"):
        headers = server.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    assert "/api/v1/experiments" in server.http.get("/docs").text
