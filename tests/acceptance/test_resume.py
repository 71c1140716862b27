"""An attempt that is lost is continued where its checkpoint was, and the log says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import Server, wait_for

StartServer = Callable[..., Server]

NITROGEN = {"library": "N2"}
SCAN = {
    "molecule": NITROGEN,
    "basis": "cc-pvdz",
    "method": {"name": "ccsd"},
    "task": {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "start": 1.0, "stop": 1.3, "points": 16},
}
OPTIMIZATION = {
    "molecule": {"smiles": "CCO"},
    "basis": "6-31g",
    "method": {"name": "hf"},
    "task": {"name": "optimize"},
}


def of_attempt(server: Server, experiment_id: str, attempt: int, kind: str) -> list[dict[str, Any]]:
    return [e for e in server.events(experiment_id) if e["attempt"] == attempt and e["type"] == kind]


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [(SCAN, "point", "finished scan points"), (OPTIMIZATION, "geometry", "geometry")],
    ids=["scan", "optimize"],
)
def test_a_killed_worker_costs_what_came_after_the_last_checkpoint(
    start_server: StartServer, spec: dict[str, Any], kind: str, words: str
) -> None:
    server = start_server("--slots", "1", KANAD_CHECKPOINT_S="0")
    experiment_id = server.post(spec)["id"]
    wait_for(lambda: len(of_attempt(server, experiment_id, 1, kind)) >= 3, "some progress")
    os.kill(server.worker_of(experiment_id), signal.SIGKILL)
    ended = server.ended(experiment_id)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    done = of_attempt(server, experiment_id, 1, kind)
    said = [event["message"] for event in of_attempt(server, experiment_id, 2, "log")]
    assert any(words in message for message in said), said
    again = of_attempt(server, experiment_id, 2, kind)
    if kind == "point":
        assert again[0]["index"] >= len(done)
        assert [e["index"] for e in (*done, *again)] == list(range(16))
        assert len(server.result(experiment_id)["scan"]["energies_hartree"]) == 16
    else:
        assert again[0]["energy_hartree"] <= done[-2]["energy_hartree"] + 1e-6
    assert not list((server.data / "files").glob("*.npz"))


def test_a_killed_server_continues_its_scf_too(start_server: StartServer) -> None:
    server = start_server("--slots", "1", KANAD_CHECKPOINT_S="0")
    experiment_id = server.post(SCAN)["id"]
    wait_for(lambda: len(of_attempt(server, experiment_id, 1, "point")) >= 2, "some progress")
    server.kill()
    server.start()
    ended = server.ended(experiment_id)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    said = [event["message"] for event in of_attempt(server, experiment_id, 2, "log")]
    assert any("SCF orbitals" in message for message in said)
    assert any("CCSD amplitudes" in message for message in said)
