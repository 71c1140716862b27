"""H2 from SMILES in STO-3G by SQD with three states, over a real server and a real WebSocket, against the log
that the original system published."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.acceptance.test_nothing_lost import stream
from tests.support.checks import check_log
from tests.support.server import Server

SPEC = {
    "name": "H2 by SQD",
    "molecule": {"smiles": "[H][H]", "charge": 0, "multiplicity": 1},
    "basis": "sto-3g",
    "method": {"name": "sqd", "n_states": 3},
    "task": {"name": "energy"},
}
BOND_ANGSTROM = 0.69801888  # RDKit ETKDGv3, seed 42
HF_HARTREE = -1.11729324
STATES_HARTREE = (-1.13605351, -0.47567111, -0.11788595)
STAGES = (
    "HF reference computed",
    "Subspace basis generated",
    "Hamiltonian projected",
    "Hamiltonian diagonalised",
    "State 0",
    "State 1",
    "State 2",
)


@pytest.fixture(scope="module")
def experiment_id(server: Server) -> str:
    """The experiment, posted once."""
    return str(server.post(SPEC)["id"])


@pytest.fixture(scope="module")
def seen(server: Server, experiment_id: str) -> list[dict[str, Any]]:
    """What a viewer of it received."""
    return stream(server, experiment_id)


def test_stages_come_in_the_published_order(seen: list[dict[str, Any]]) -> None:
    check_log(seen)
    stages = [event for event in seen if event["type"] == "stage"]
    assert [event["stage"] for event in stages] == list(range(7))
    assert {event["last_stage"] for event in stages} == {6}
    assert [event["message"].lower()[: len(name)] for event, name in zip(stages, STAGES, strict=True)] == [
        name.lower() for name in STAGES
    ]


def test_energies_of_the_stages_are_the_published_ones(seen: list[dict[str, Any]]) -> None:
    stages = [event for event in seen if event["type"] == "stage"]
    assert stages[0]["energy_hartree"] == pytest.approx(HF_HARTREE, abs=1e-7)
    assert [event["energy_hartree"] for event in stages[4:]] == pytest.approx(STATES_HARTREE, abs=1e-7)
    states = [event for event in seen if event["type"] == "state"]
    assert [event["energy_hartree"] for event in states] == pytest.approx(STATES_HARTREE, abs=1e-7)


def test_the_log_ends_completed_at_one_hundred_percent(seen: list[dict[str, Any]]) -> None:
    last = seen[-1]
    assert (last["type"], last["status"], last["progress"]) == ("status", "completed", 100)
    assert last["energy_hartree"] == pytest.approx(STATES_HARTREE[0], abs=1e-7)
    assert all(event["progress"] < 100 for event in seen[:-1] if event["type"] == "status")


def test_the_result_holds_the_published_states_and_the_geometry(
    server: Server, experiment_id: str, seen: list[dict[str, Any]]
) -> None:
    result = server.result(experiment_id)
    assert result["energy_hartree"] == pytest.approx(STATES_HARTREE[0], abs=1e-7)
    assert result["components"]["hf_hartree"] == pytest.approx(HF_HARTREE, abs=1e-7)
    assert [state["energy_hartree"] for state in result["states"]] == pytest.approx(STATES_HARTREE, abs=1e-7)
    assert math.dist(*result["geometry"]["coordinates_angstrom"]) == pytest.approx(BOND_ANGSTROM, abs=1e-8)
    assert seen[-1]["seq"] == server.get(experiment_id)["last_seq"]
