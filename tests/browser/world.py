"""The runs that the pages are looked at with."""

from __future__ import annotations

from typing import Any

from tests.support.server import Server, probe, wait_for

Runs = dict[str, str]

# RHF/STO-3G of the library's H2 (0.7414 angstrom), by PySCF.
H2_HARTREE = -1.11668439
MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>&amp;\u202e"

_H2 = {"library": "H2"}
_WATER = {"library": "H2O"}
_BOND = {"type": "bond", "atoms": [0, 1]}
SPECS: dict[str, dict[str, Any]] = {
    "h2": {"name": "H₂, Hartree–Fock", "molecule": _H2, "method": {"name": "hf"}, "tags": ["first"]},
    "fci": {"name": "H₂, exact", "molecule": _H2, "method": {"name": "fci"}},
    "water": {"name": "Water", "molecule": _WATER, "method": {"name": "hf"}, "basis": "6-31g"},
    "vibrations": {"molecule": _WATER, "method": {"name": "hf"}, "task": {"name": "frequencies"}},
    "excited": {"molecule": _WATER, "method": {"name": "hf"}, "task": {"name": "excited_states", "n_states": 5}},
    "optimized": {"molecule": {"smiles": "O"}, "method": {"name": "hf"}, "task": {"name": "optimize"}},
    "scan": {
        "molecule": _H2,
        "method": {"name": "fci"},
        "task": {
            "name": "scan",
            "coordinate": {"type": "bond", "atoms": [0, 1]},
            "start": 0.5,
            "stop": 2.5,
            "points": 9,
        },
    },
    "vqe": {"name": "LiH by VQE", "molecule": {"library": "LiH"}, "method": {"name": "vqe"}},
    "sqd": {"name": "H₂ by SQD", "molecule": {"smiles": "[H][H]"}, "method": {"name": "sqd", "n_states": 3}},
    "failed": probe(fault="sigsegv", name="Crash"),
    "markup": {"name": MARKUP, "molecule": _H2, "method": {"name": "hf"}, "tags": [MARKUP[:60]], "fresh": True},
}

CAMPAIGN: dict[str, Any] = {
    "name": "Hydrides",
    "tags": ["paper"],
    "template": {"task": {"name": "energy"}},
    "grid": {"molecules": [_H2, {"library": "LiH"}], "methods": [{"name": "hf"}, {"name": "mp2"}], "bases": ["sto-3g"]},
}


def post_all(server: Server) -> Runs:
    """Post them, and wait until each has ended."""
    ids = {name: str(server.post(spec)["id"]) for name, spec in SPECS.items()}
    cancelled = server.post(probe(steps=10_000, step_ms=20, name="Cancelled"))["id"]
    for identity in ids.values():
        server.ended(identity)
    server.running(cancelled)
    server.http.post(f"/api/v1/experiments/{cancelled}/cancel")
    server.ended(cancelled)
    campaign = server.http.post("/api/v1/campaigns", json=CAMPAIGN).raise_for_status().json()["id"]
    wait_for(
        lambda: server.http.get(f"/api/v1/campaigns/{campaign}").json()["status"] == "ended", "the campaign to end"
    )
    return ids | {"cancelled": str(cancelled), "campaign": str(campaign)}
