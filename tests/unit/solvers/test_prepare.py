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
from kanad_solvers.spec import Spec, spec_hash

WATER = {"library": "H2O"}


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
        ("$.method.counts", {"method": {"name": "sqd", "sampler": "counts", "counts": {"01": 3}}}),
    ],
)
def test_a_broken_rule_is_told_with_its_path(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        prepared(**fields)
    assert caught.value.errors[0].path.startswith(path)
    assert all(error.message for error in caught.value.errors)


@pytest.mark.parametrize("method", ["hf", "fci", "sqd", "vqe"])
def test_the_canonical_form_is_a_fixed_point(method: str) -> None:
    once = prepared(method={"name": method}).spec
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
