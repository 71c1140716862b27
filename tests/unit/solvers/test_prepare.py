"""Checks, canonical form and price of a spec, before anything runs."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from pyscf import gto

from kanad_solvers import basis, cost
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.prepare import Prepared, prepare
from kanad_solvers.registry import METHODS
from kanad_solvers.spec import Spec, spec_hash

WATER = {"library": "H2O"}
HELIUM = {"atoms": [{"symbol": "He", "position_angstrom": [0, 0, 0]}]}
HYDROGEN_ATOM = {"atoms": [{"symbol": "H", "position_angstrom": [0, 0, 0]}], "multiplicity": 2}
SCAN = {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "values": [1.0]}


def prepared(**fields: Any) -> Prepared:
    return prepare(msgspec.convert({"molecule": WATER, "method": {"name": "hf"}} | fields, Spec))


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("$.basis", {"basis": "sto-3g; __import__('os')"}),
        ("$.basis", {"basis": "/etc/passwd"}),
        ("$.basis", {"basis": "minao\n"}),
        ("$.basis", {"basis": "3-21g", "molecule": {"atoms": [{"symbol": "Pt", "position_angstrom": [0, 0, 0]}]}}),
        ("$.task.name", {"method": {"name": "mp2"}, "task": {"name": "excited_states"}}),
        ("$.task.tda", {"method": {"name": "fci"}, "task": {"name": "excited_states", "tda": True}}),
        ("$.task.n_states", {"molecule": {"library": "H2"}, "task": {"name": "excited_states", "n_states": 2}}),
        ("$.method.reference", {"molecule": {"library": "O2"}, "method": {"name": "hf", "reference": "rhf"}}),
        ("$.method.reference", {"method": {"name": "hf", "reference": "rohf"}, "task": {"name": "excited_states"}}),
        ("$.molecule.multiplicity", {"molecule": {"library": "O2"}, "method": {"name": "vqe"}}),
        ("$.method.n_states", {"molecule": {"library": "H2"}, "method": {"name": "fci", "n_states": 5}}),
        ("$.active_space", {"active_space": {"frozen_core": True}}),
        ("$.active_space", {"method": {"name": "fci"}, "active_space": {"electrons": 4}}),
        ("$.active_space", {"method": {"name": "fci"}, "active_space": {}}),
        ("$.active_space.electrons", {"method": {"name": "fci"}, "active_space": {"electrons": 3, "orbitals": 4}}),
        ("$.active_space.electrons", {"method": {"name": "fci"}, "active_space": {"electrons": 12, "orbitals": 6}}),
        ("$.active_space.orbitals", {"method": {"name": "fci"}, "active_space": {"electrons": 4, "orbitals": 8}}),
        ("$.method.counts", {"method": {"name": "sqd", "sampler": "counts"}}),
        (
            "$.method.counts",
            {
                "molecule": {"library": "H2"},
                "method": {"name": "sqd", "sampler": "counts", "counts": {"1111": 3}, "max_iterations": 1},
            },
        ),
        ("$.method.xc", {"method": {"name": "dft", "xc": "wb97x-d"}}),
        ("$.method.xc", {"method": {"name": "dft", "xc": "__import__('os')"}}),
        ("$.method.xc", {"method": {"name": "dft", "xc": "wb97x-v"}, "task": {"name": "frequencies"}}),
        ("$.method.dispersion", {"method": {"name": "dft", "xc": "m06-2x", "dispersion": "d4"}}),
        ("$.solvent.name", {"solvent": {"model": "smd", "name": "aqua"}}),
        ("$.solvent", {"solvent": {"model": "smd"}, "method": {"name": "mp2"}}),
        ("$.solvent", {"solvent": {"model": "cpcm"}, "task": {"name": "excited_states"}}),
        ("$.solvent.model", {"solvent": {"model": "ddcosmo"}, "task": {"name": "frequencies"}}),
        ("$.method.density_fit", {"method": {"name": "ccsd", "density_fit": True}, "task": {"name": "optimize"}}),
        ("$.method.reference", {"method": {"name": "dft", "reference": "rohf"}, "task": {"name": "frequencies"}}),
        ("$.method.reference", {"molecule": {"library": "O2"}, "method": {"name": "ccsd", "reference": "rhf"}}),
        ("$.method.optimizer", {"method": {"name": "vqe", "shots": 100}}),
        (
            "$.method.shots",
            {"method": {"name": "vqe", "shots": 9, "optimizer": "spsa", "ansatz": "hardware_efficient"}},
        ),
        (
            "$.method.ansatz",
            {"method": {"name": "vqe", "ansatz": "hardware_efficient"}, "task": {"name": "excited_states"}},
        ),
        ("$.method.name", {"molecule": HYDROGEN_ATOM, "method": {"name": "mp2"}}),
        ("$.basis", {"molecule": HELIUM, "method": {"name": "ccsd"}}),
        (
            "$.method.n_states",
            {
                "method": {"name": "casscf", "n_states": 2},
                "task": {"name": "optimize"},
                "active_space": {"electrons": 4, "orbitals": 4},
            },
        ),
        (
            "$.method.spin",
            {
                "molecule": {"library": "OH"},
                "method": {"name": "casci", "spin": "singlet"},
                "active_space": {"electrons": 5, "orbitals": 4},
            },
        ),
        ("$.active_space", {"method": {"name": "casci"}}),
        ("$.active_space", {"method": {"name": "casscf"}, "active_space": {"frozen_core": True}}),
        ("$.active_space", {"method": {"name": "ccsd"}, "active_space": {"frozen_core": True}}),
        ("$.active_space", {"method": {"name": "casci"}, "active_space": {"frozen_core": True, "avas": ["O 2p"]}}),
        ("$.active_space.avas[1]", {"method": {"name": "casci"}, "active_space": {"avas": ["O 2p", "N 2p"]}}),
        ("$.active_space.avas[0]", {"method": {"name": "casci"}, "active_space": {"avas": ["1 O 2p"]}}),
        ("$.task.name", {"molecule": HELIUM, "task": {"name": "optimize"}}),
        (
            "$.task.name",
            {"molecule": {"library": "H2", "charge": 1, "multiplicity": 2}, "task": {"name": "frequencies"}},
        ),
        ("$.task.name", {"method": {"name": "fci"}, "task": {"name": "optimize"}}),
        (
            "$.task.n_states",
            {
                "molecule": {"library": "H2"},
                "method": {"name": "ccsd"},
                "task": {"name": "excited_states", "n_states": 9},
            },
        ),
        ("$.task.coordinate.atoms", {"task": SCAN | {"coordinate": {"type": "bond", "atoms": [0, 1, 2]}}}),
        ("$.task.coordinate.atoms", {"task": SCAN | {"coordinate": {"type": "bond", "atoms": [1, 1]}}}),
        ("$.task.coordinate.atoms", {"task": SCAN | {"coordinate": {"type": "bond", "atoms": [0, 3]}}}),
        (
            "$.task.coordinate.atoms",
            {"molecule": {"library": "CO2"}, "task": SCAN | {"coordinate": {"type": "angle", "atoms": [0, 1]}}},
        ),
        ("$.task.values", {"task": SCAN | {"values": None}}),
        ("$.task.values", {"task": SCAN | {"start": 1.0}}),
        ("$.task.values", {"task": SCAN | {"values": [0.1]}}),
        ("$.task.values", {"task": SCAN | {"values": [200.0]}}),
        ("$.task.values", {"task": SCAN | {"values": [2.0], "coordinate": {"type": "angle", "atoms": [1, 0, 2]}}}),
        ("$.task.stop", {"task": SCAN | {"values": None, "start": 1.0, "stop": 1.0, "points": 3}}),
        ("$.method.counts", {"method": {"name": "sqd", "sampler": "counts", "counts": {"01": 3}}}),
    ],
)
def test_a_broken_rule_is_told_with_its_path(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        prepared(**fields)
    assert caught.value.errors[0].path.startswith(path)
    assert all(error.message for error in caught.value.errors)


def of(method: str) -> dict[str, Any]:
    """The fields of a spec with this method that can run."""
    window = {"active_space": {"electrons": 4, "orbitals": 4}} if method in ("casci", "casscf") else {}
    return {"method": {"name": method}} | window


@pytest.mark.parametrize("method", METHODS)
def test_the_canonical_form_is_a_fixed_point(method: str) -> None:
    once = prepared(**of(method)).spec
    assert prepare(once).spec == once
    assert once.molecule.multiplicity == 1


def test_the_hash_knows_what_decides_the_numbers() -> None:
    plain = spec_hash(prepared().spec)
    for same in (
        {"basis": "STO-3G"}, {"name": "x"}, {"tags": ["x"]}, {"priority": 4}, {"fresh": True},
        {"limits": {"wall_s": 5}}, {"molecule": WATER | {"multiplicity": 1}},
    ):  # fmt: skip
        assert spec_hash(prepared(**same).spec) == plain, same
    for other in (
        {"basis": "6-31g"},
        {"cartesian": True},
        {"method": {"name": "fci"}},
        {"molecule": {"library": "N2"}},
    ):
        assert spec_hash(prepared(**other).spec) != plain, other
    seeds = {spec_hash(prepared(method={"name": "sqd", "seed": seed}).spec) for seed in (0, 1)}
    assert len(seeds) == 2


@pytest.mark.parametrize("name", ["sto-3g", "6-31g*", "6-311++g**", "cc-pvtz", "aug-cc-pvdz", "def2-tzvp"])
@pytest.mark.parametrize("cartesian", [False, True])
def test_the_number_of_functions_is_that_of_pyscf(name: str, cartesian: bool) -> None:
    mol = gto.M(atom="O 0 0 0; H 0 0 1; H 0 1 0", basis=name, cart=cartesian, verbose=0)
    assert prepared(basis=name, cartesian=cartesian).estimate.basis_functions == mol.nao


def test_every_basis_on_offer_covers_oxygen_under_any_spelling() -> None:
    oxygen = {"atoms": [{"symbol": "O", "position_angstrom": [0, 0, 0]}], "multiplicity": 3}
    for name in basis.BASES:
        assert basis.canonical(name.upper()) == name
        assert prepared(molecule=oxygen, basis=name).estimate.basis_functions > 0, name
    assert basis.canonical("6-31G(d,p)") == "6-31g**"


def test_an_effective_core_takes_its_electrons() -> None:
    iodine = {"atoms": [{"symbol": "I", "position_angstrom": [0, 0, 0]}], "charge": -1}
    found = prepared(
        molecule=iodine, basis="def2-svp", method={"name": "fci"}, active_space={"electrons": 8, "orbitals": 6}
    )
    assert basis.ecp_electrons("def2-svp", "I") == 28
    assert found.estimate.determinants == math.comb(6, 4) ** 2


def test_determinants_are_counted_exactly() -> None:
    assert cost.determinants(6, 3, 3) == 400
    assert prepared(method={"name": "fci"}).estimate.determinants == math.comb(7, 5) ** 2
    assert prepared(method={"name": "fci"}).estimate.qubits == 14


def test_what_is_too_large_says_why_and_what_would_fit() -> None:
    estimate = prepared(molecule={"library": "N2"}, basis="cc-pvdz", method={"name": "fci"}).estimate
    assert estimate.determinants == math.comb(28, 7) ** 2 > 10**12
    assert not estimate.feasible
    assert "1401950721600 determinants" in (estimate.reason or "")
    suggested = msgspec.json.decode("{" + (estimate.suggestion or "").removesuffix(" would fit") + "}")
    smaller = prepared(molecule={"library": "N2"}, basis="cc-pvdz", method={"name": "fci"}, **suggested).estimate
    assert smaller.feasible


def test_a_subspace_too_large_for_the_memory_is_refused() -> None:
    method = {"name": "sqd", "sampler": "uniform", "samples_per_batch": 5000}
    estimate = prepared(molecule={"library": "N2"}, basis="6-31g", method=method).estimate
    assert not estimate.feasible
    assert "samples_per_batch" in (estimate.suggestion or "")


def test_more_functions_cost_more() -> None:
    small, large = (prepared(basis=name).estimate for name in ("sto-3g", "cc-pvqz"))
    assert small.memory_mb < large.memory_mb
    assert small.seconds[1] < large.seconds[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["energy", "excited_states", "optimize", "frequencies", "scan"])
def test_every_combination_has_a_price_or_is_refused(method: str, task: str) -> None:
    asked = SCAN if task == "scan" else {"name": task}
    if task not in METHODS[method].tasks:
        with pytest.raises(InvalidSpec, match=r"works with .*"):
            prepared(**of(method), task=asked)
        return
    estimate = prepared(**of(method), task=asked).estimate
    assert estimate.feasible
    assert 0 < estimate.seconds[0] < estimate.seconds[1]
    assert estimate.memory_mb > 100


def test_a_longer_task_costs_more() -> None:
    one, many = (prepared(task=SCAN | {"values": [1.0 + i / 100 for i in range(n)]}).estimate for n in (2, 40))
    assert many.seconds[0] > 10 * one.seconds[0]
    plain, numeric = (prepared(method={"name": "fci"}, task={"name": "energy", "gradient": g}) for g in (False, True))
    assert numeric.estimate.seconds[0] > 10 * plain.estimate.seconds[0]


def test_a_circuit_too_wide_for_all_bitstrings_is_refused_with_a_window_that_fits() -> None:
    method = {"name": "vqe", "ansatz": "hardware_efficient"}
    estimate = prepared(molecule={"library": "N2"}, method=method).estimate
    assert not estimate.feasible
    assert "qubits" in (estimate.reason or "")
    assert '"orbitals": 8' in (estimate.suggestion or "")


def test_functionals_and_basis_sets_are_taken_in_any_case() -> None:
    spec = prepared(method={"name": "dft", "xc": "PBE0"}, basis="DEF2-SVP").spec
    assert spec.basis == "def2-svp"
    assert getattr(spec.method, "xc", None) == "pbe0"
