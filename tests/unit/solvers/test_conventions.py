"""Where programs differ, the result says what was done, and does it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from pyscf import gto, mp, scf

from kanad_solvers import frequencies
from kanad_solvers.basis import ecp_electrons
from kanad_solvers.conventions import BOHR_ANGSTROM, applied
from kanad_solvers.molecule import parse
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import H2, OXYGEN, WATER, atoms, solve

AMIDOGEN = atoms(("N", 0, 0, 0), ("H", 0, 0.8, 0.63), ("H", 0, -0.8, 0.63), multiplicity=2)


def said(**fields: Any) -> str:
    spec = msgspec.convert({"molecule": WATER, "method": {"name": "hf"}} | fields, Spec)
    return "; ".join(applied(spec, parse(spec.molecule).geometry.symbols))


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("spherical (5d, 7f)", {}),
        ("cartesian (6d, 10f)", {"cartesian": True}),
        ("VWN_RPA", {"method": {"name": "dft", "xc": "b3lyp"}}),
        ("VWN5", {"method": {"name": "dft", "xc": "b3lyp5"}}),
        ("two-body", {"method": {"name": "dft", "dispersion": "d3bj"}}),
        ("three-body", {"method": {"name": "dft", "dispersion": "d4"}}),
        ("no frozen core", {"method": {"name": "mp2"}}),
        ("core electrons are frozen", {"method": {"name": "ccsd", "frozen_core": True}}),
        ("UMP2", {"molecule": OXYGEN, "method": {"name": "mp2"}}),
        ("most abundant isotopes", {"task": {"name": "frequencies"}}),
        ("response of the grid", {"method": {"name": "dft"}, "task": {"name": "frequencies"}}),
        ("absent, not zero", {"method": {"name": "ccsd"}, "task": {"name": "excited_states"}}),
        ("compare sign and size", {"solvent": {"model": "cpcm"}}),
        ("46 electrons of Pt", {"molecule": {"xyz": "Pt 0 0 0"}, "basis": "lanl2dz"}),
    ],
)
def test_the_convention_is_named(words: str, fields: dict[str, Any]) -> None:
    if "46" in words:
        words = f"{ecp_electrons('lanl2dz', 'Pt')} electrons of Pt"
    assert words in said(**fields)


def test_it_stands_in_the_provenance() -> None:
    result, _ = solve(H2, {"name": "ccsd"})
    assert result.provenance is not None
    assert "all electrons are correlated (no frozen core)" in result.provenance.conventions


def test_the_bohr_is_the_one_that_was_used() -> None:
    result, _ = solve(H2, {"name": "hf"})
    assert result.components["nuclear_repulsion_hartree"] == pytest.approx(BOHR_ANGSTROM / 0.7414, abs=1e-10)


def test_the_6_311g_family_is_spherical_everywhere_and_not_warned_of() -> None:
    result, _ = solve(WATER, {"name": "hf"}, basis="6-311g*")
    assert not result.warnings


def test_open_shell_mp2_is_unrestricted() -> None:
    result, _ = solve(AMIDOGEN, {"name": "mp2"}, basis="6-31g")
    places = [(atom["symbol"], atom["position_angstrom"]) for atom in AMIDOGEN["atoms"]]
    field = scf.UHF(gto.M(atom=places, basis="6-31g", spin=1, verbose=0)).run(conv_tol=1e-11)
    assert result.energy_hartree == pytest.approx(mp.UMP2(field).run().e_tot, abs=1e-7)


def test_the_cation_of_boron_hydride_is_stable() -> None:
    ion = atoms(("B", 0, 0, 0), ("H", 0, 0, 1.2), charge=1, multiplicity=2)
    followed, _ = solve(ion, {"name": "hf"}, basis="6-31g*")
    held, _ = solve(ion, {"name": "hf", "check_stability": False}, basis="6-31g*")
    assert followed.reference is not None
    assert followed.reference.stable
    assert followed.energy_hartree <= held.energy_hartree + 1e-8


def test_masses_are_those_of_the_most_abundant_isotopes() -> None:
    # CODATA and AME2016: 1H, 12C, 16O, 35Cl, 79Br
    found = frequencies.most_abundant_masses(("H", "C", "O", "Cl", "Br"))
    assert found == pytest.approx(np.array([1.00782503, 12.0, 15.99491462, 34.96885268, 78.9183376]), abs=1e-5)


def test_a_potential_is_loaded_with_its_basis() -> None:
    result, _ = solve(atoms(("I", 0, 0, 0), charge=-1), {"name": "hf"}, basis="lanl2dz")
    # Eight valence electrons are left: -11.2 hartree, where all 54 would be near -6900.
    assert -12 < result.energy_hartree < -10
    assert result.orbitals is not None
    assert sum(result.orbitals.occupations) == 8
