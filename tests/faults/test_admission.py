"""What is too large is refused with its price before it waits; what is admitted keeps to the memory it was granted."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults import figures
from tests.faults.scale import SEED, count
from tests.faults.world import API, World
from tests.support.server import H2_ATOMS

BOND_C60 = 1.42
"""Angstrom, between neighbours."""
LONGEST_S = 5.0
"""What is expected to take longer is not run here."""
SLACK = 1.1
"""What an attempt may use of its grant."""
OFF = 3.0
"""How far an estimate may be from what is measured, to either side."""
GRANT_MB = 4_096
LEAST_MB = 512
"""The smallest grant here; PySCF alone holds 120 MB."""

N2, WATER, ETHYLENE, BENZENE, ETHANOL = ({"smiles": text} for text in ("N#N", "O", "C=C", "c1ccccc1", "CCO"))
OXYGEN = {"smiles": "[O][O]", "multiplicity": 3}


def _space(electrons: int, orbitals: int) -> dict[str, Any]:
    return {"active_space": {"electrons": electrons, "orbitals": orbitals}}


CALIBRATED: list[dict[str, Any]] = [
    {"molecule": WATER, "method": {"name": "hf"}, "basis": "cc-pvdz"},
    {"molecule": BENZENE, "method": {"name": "hf"}, "basis": "cc-pvdz"},
    {"molecule": OXYGEN, "method": {"name": "hf"}, "basis": "cc-pvtz"},
    {"molecule": BENZENE, "method": {"name": "hf", "density_fit": True}, "basis": "cc-pvdz"},
    {"molecule": ETHANOL, "method": {"name": "dft", "xc": "pbe0"}, "basis": "def2-svp"},
    {"molecule": WATER, "method": {"name": "dft", "xc": "b3lyp"}, "basis": "6-31g*"},
    {"molecule": ETHANOL, "method": {"name": "mp2"}, "basis": "cc-pvdz"},
    {"molecule": OXYGEN, "method": {"name": "mp2"}, "basis": "cc-pvdz"},
    {"molecule": ETHYLENE, "method": {"name": "ccsd"}, "basis": "cc-pvdz"},
    {"molecule": WATER, "method": {"name": "ccsd"}, "basis": "cc-pvtz"},
    {"molecule": ETHYLENE, "method": {"name": "ccsd(t)"}, "basis": "6-31g*"},
    {"molecule": N2, "method": {"name": "casci"}, "basis": "cc-pvdz", **_space(10, 10)},
    {"molecule": N2, "method": {"name": "casscf"}, "basis": "cc-pvdz", **_space(6, 6)},
    {"molecule": WATER, "method": {"name": "fci"}, "basis": "sto-3g"},
    {"molecule": N2, "method": {"name": "fci"}, "basis": "6-31g", **_space(10, 12)},
    {"molecule": WATER, "method": {"name": "selected_ci"}, "basis": "6-31g"},
    {"molecule": N2, "method": {"name": "sqd", "samples_per_batch": 100}, "basis": "6-31g", **_space(10, 10)},
    {"molecule": N2, "method": {"name": "vqe"}, "basis": "sto-3g", **_space(6, 6)},
    {"molecule": {"library": "LiH"}, "method": {"name": "adapt_vqe"}, "basis": "sto-3g"},
    {"molecule": ETHANOL, "method": {"name": "hf"}, "basis": "6-31g*", "solvent": {"model": "cpcm", "name": "water"}},
]
SMALL = "[H] [H][H] [He] [LiH] O N C F [O][O] N#N [C-]#[O+] OO C=O CO C#C C=C NN O=C=O FF Cl S"
RINGS = "c1ccccc1 c1ccc2ccccc2c1 c1ccc2cc3ccccc3cc2c1 c1ccncc1 c1cc[nH]c1 c1ccoc1 C1CCCCC1 O=C1C=CC(=O)C=C1"
OTHERS = (
    "NCC(=O)O CC(N)C(=O)O CCO CC(=O)O CC(C)=O CN(C)C=O CS(C)=O NC(N)=O O=c1cc[nH]c(=O)[nH]1 Nc1ncnc2[nH]cnc12"
    " Cn1cnc2c1c(=O)n(C)c(=O)n2C CC(=O)Oc1ccccc1C(=O)O OCC1OC(O)C(O)C(O)C1O CC(C)Cc1ccc(cc1)C(C)C(=O)O"
    " CN1C2CCC1CC(C2)O c1ccc(cc1)c1ccccc1"
)
METHODS = ["hf", "dft", "mp2", "ccsd", "ccsd(t)", "casci", "fci", "selected_ci", "sqd", "vqe"]
BASES = ["sto-3g", "6-31g*", "cc-pvdz", "def2-tzvp", "cc-pvtz", "cc-pvqz", "cc-pv5z"]


def _molecules() -> list[dict[str, Any]]:
    """Sixty, from a hydrogen atom to C60."""
    smiles = SMALL.split() + ["C" * length for length in (2, 3, 4, 6, 8, 10, 12, 16, 20)]
    smiles += ["C=C" * length for length in (2, 3, 4, 5, 6)] + RINGS.split() + OTHERS.split()
    found: list[dict[str, Any]] = [{"smiles": text} for text in smiles]
    return [*found, {"atoms": H2_ATOMS}, {"atoms": _buckminsterfullerene()}]


def _buckminsterfullerene() -> list[dict[str, Any]]:
    """A truncated icosahedron: even permutations of three corners with all signs (edge 2)."""
    golden = (1 + math.sqrt(5)) / 2
    corners = set()
    for corner in ((0.0, 1.0, 3 * golden), (1.0, 2 + golden, 2 * golden), (golden, 2.0, golden**3)):
        for signs in itertools.product((1, -1), repeat=3):
            signed = tuple(round(sign * value, 9) + 0.0 for sign, value in zip(signs, corner, strict=True))
            corners |= {signed[turn:] + signed[:turn] for turn in range(3)}
    assert len(corners) == 60
    return [
        {"symbol": "C", "position_angstrom": [value * BOND_C60 / 2 for value in corner]} for corner in sorted(corners)
    ]


def _asked(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Every molecule with some methods and bases, the last one with all."""
    molecules = _molecules()
    assert len(molecules) >= 60
    for molecule in molecules[:-1]:
        for _ in range(count(5, 1)):
            yield _spec(molecule, chance.choice(METHODS), chance.choice(BASES))
    for method, basis in itertools.product(METHODS, BASES):
        yield _spec(molecules[-1], method, basis)


def _spec(molecule: dict[str, Any], method: str, basis: str) -> dict[str, Any]:
    chosen = {"name": method} | ({"xc": "pbe"} if method == "dft" else {})
    return {"molecule": molecule, "method": chosen, "basis": basis, "limits": {"memory_mb": GRANT_MB, "wall_s": 600}}


@pytest.mark.slow
def test_r22_admission(make_world: Callable[..., World]) -> None:
    """H to C60, STO-3G to cc-pV5Z, HF to FCI: too large is 422 with its price; what runs keeps to its grant."""
    world = make_world("--slots", "2", scenario="R22")
    chance = random.Random(f"{SEED}:R22")
    refused, small = _sweep(world, chance)
    runs = CALIBRATED[: count(20, 8)] + chance.sample(small, min(len(small), count(20, 4)))
    shares, ratios = _run_all(world, runs)
    measured = world.finish()
    figures.record(
        "R22", "from H to C60: refused with its price, or kept to its grant", refused_before_waiting=refused,
        runs=len(runs), out_of_memory=0, share_of_grant_max=max(shares), estimate_over_peak_min=min(ratios),
        estimate_over_peak_max=max(ratios), **measured,
    )  # fmt: skip
    assert max(shares) <= SLACK
    assert min(ratios) >= 1 / OFF
    assert max(ratios) <= OFF


def _sweep(world: World, chance: random.Random) -> tuple[int, list[dict[str, Any]]]:
    """How many were refused as too large, each with its price and a way out; and what is small enough to be run."""
    refused, small = 0, []
    for spec in _asked(chance):
        answer = world.server.http.post("/api/v1/estimate", json=spec)
        if answer.status_code == 422:  # no basis for the element, no electrons to correlate
            assert answer.json()["code"] == "invalid_spec", answer.text
            continue
        price = answer.json()
        if price["feasible"]:
            assert price["memory_mb"] <= GRANT_MB
            if price["seconds"][1] < LONGEST_S:
                small.append(spec)
            continue
        posted = world.call("POST", API, json=spec)
        assert posted.status == 422, posted
        assert '"code":"too_large"' in posted.body
        assert price["reason"]
        assert price["suggestion"]
        assert '"memory_mb":' in posted.body
        refused += 1
    assert world.server.system()["queue_length"] == 0
    return refused, small


def _run_all(world: World, specs: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Each run with the least memory that admits it: the share of that which it took, and the estimate over it."""
    granted = [_granted(spec, _price(world, spec)) for spec in specs]
    names = world.submit_all(granted)
    shares, ratios = [], []
    for name, spec in zip(names, granted, strict=True):
        ended = world.ended(name, 300)
        assert ended["status"] == "completed", (spec, ended["error"])
        peak = world.server.result(name)["provenance"]["peak_rss_mb"]
        grant, estimate = spec["limits"]["memory_mb"], _price(world, spec)["memory_mb"]
        shares.append(peak / grant)
        ratios.append(estimate / peak)
        print(f"{spec['method']['name']:12} grant {grant} MB, peak {peak:.0f} MB, estimate {estimate:.0f} MB")
    return shares, ratios


def _granted(spec: dict[str, Any], price: dict[str, Any]) -> dict[str, Any]:
    return spec | {"limits": {"memory_mb": max(LEAST_MB, math.ceil(price["memory_mb"])), "wall_s": 300}, "fresh": True}


def _price(world: World, spec: dict[str, Any]) -> dict[str, Any]:
    return dict(world.server.http.post("/api/v1/estimate", json=spec).json())
