"""Hartree-Fock: plain PySCF's energies, properties with known values, rescue and stability."""

from __future__ import annotations

from typing import Any

import pytest
from pyscf import gto, scf
from scipy import constants

from kanad_solvers import properties
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.progress import Log
from tests.unit.solvers.solving import FAR_H2, H2, OXYGEN, WATER, atoms, solve

HF = {"name": "hf"}


def plain(molecule: dict[str, Any], basis: str, kind: str, cart: bool = False) -> Any:
    """A PySCF script's answer."""
    mol = gto.M(
        atom=[(atom["symbol"], atom["position_angstrom"]) for atom in molecule["atoms"]],
        basis=basis,
        charge=molecule["charge"],
        spin=molecule["multiplicity"] - 1,
        cart=cart,
        verbose=0,
    )
    field = {"rhf": scf.RHF, "uhf": scf.UHF, "rohf": scf.ROHF}[kind](mol)
    field.conv_tol = 1e-11
    return field.run()


@pytest.mark.parametrize(
    ("molecule", "basis", "kind"),
    [(H2, "sto-3g", "rhf"), (WATER, "6-31g*", "rhf"), (OXYGEN, "6-31g", "uhf"), (OXYGEN, "sto-3g", "rohf")],
)
def test_energies_are_those_of_plain_pyscf(molecule: dict[str, Any], basis: str, kind: str) -> None:
    result, _ = solve(molecule, {"name": "hf", "reference": kind, "conv_tol": 1e-11}, basis=basis)
    assert result.converged
    assert result.energy_hartree == pytest.approx(plain(molecule, basis, kind).e_tot, abs=1e-9)


def test_properties_are_those_of_plain_pyscf() -> None:
    result, _ = solve(WATER, HF, basis="6-31g")
    field = plain(WATER, "6-31g", "rhf")
    assert result.properties is not None
    assert result.properties.dipole_debye == pytest.approx(field.dip_moment(verbose=0), abs=1e-5)
    charges = field.mulliken_pop(verbose=0)[1]
    assert result.properties.mulliken_charges == pytest.approx(charges, abs=1e-5)
    assert result.orbitals is not None
    assert result.orbitals.energies_hartree == pytest.approx(field.mo_energy, abs=1e-5)
    assert result.orbitals.homo_hartree == result.orbitals.energies_hartree[4]
    assert result.orbitals.lumo_hartree == result.orbitals.energies_hartree[5]


@pytest.mark.parametrize(
    ("charge", "multiplicity", "expected"),
    [
        (0, 1, {(0, 1): 1.0}),  # a pair in the bonding orbital
        (1, 2, {(0, 1): 0.5}),  # one electron in it
        (0, 3, {}),  # the antibonding orbital takes the bond away
    ],
)
def test_mayer_bond_orders_count_bonds(charge: int, multiplicity: int, expected: dict[tuple[int, int], float]) -> None:
    result, _ = solve(H2 | {"charge": charge, "multiplicity": multiplicity}, HF)
    assert result.properties is not None
    assert result.properties.bond_orders is not None
    found = {bond.atoms: bond.order for bond in result.properties.bond_orders}
    assert found == pytest.approx(expected, abs=1e-9)


def test_hydrogens_of_water_share_no_bond() -> None:
    result, _ = solve(WATER, HF, basis="6-31g")
    assert result.properties is not None
    assert result.properties.bond_orders is not None
    assert [bond.atoms for bond in result.properties.bond_orders] == [(0, 1), (0, 2)]


def test_scf_reports_count_from_one_and_end_at_the_energy() -> None:
    result, reports = solve(WATER, HF)
    cycles = reports.series("scf")
    assert [cycle.iteration for cycle in cycles] == list(range(1, len(cycles) + 1))
    assert cycles[0].delta_hartree is None
    assert cycles[-1].residual is not None
    assert cycles[-1].residual < 1e-4
    assert cycles[-1].energy_hartree == pytest.approx(result.energy_hartree, abs=1e-8)


def test_too_few_iterations_are_told_not_hidden() -> None:
    result, _ = solve(WATER, {"name": "hf", "max_iterations": 1}, basis="6-31g")
    assert not result.converged
    assert any("max_iterations" in warning for warning in result.warnings)


def test_the_rescue_ladder_converges_what_diis_alone_does_not() -> None:
    result, reports = solve(WATER, {"name": "hf", "max_iterations": 5}, basis="6-31g")
    tried = [report.message for report in reports if isinstance(report, Log)]
    assert "damping" in tried[0]
    assert result.converged
    assert result.energy_hartree == pytest.approx(-75.9839744727, abs=1e-7)  # PySCF 2.14.0
    iterations = [cycle.iteration for cycle in reports.series("scf")]
    assert iterations == list(range(1, len(iterations) + 1))


def test_an_instability_is_followed_down() -> None:
    ion = atoms(("N", 0, 0, 0), ("N", 0, 0, 1.1), charge=1, multiplicity=2)
    held, _ = solve(ion, {"name": "hf", "check_stability": False}, basis="6-31g")
    followed, reports = solve(ion, HF, basis="6-31g")
    field = plain(ion, "6-31g", "uhf")
    assert held.energy_hartree == pytest.approx(field.e_tot, abs=1e-8)
    orbitals, _, stable, _ = field.stability(return_status=True)
    assert not stable
    lower = field.kernel(dm0=field.make_rdm1(orbitals, field.mo_occ))
    assert followed.energy_hartree == pytest.approx(lower, abs=1e-8)
    assert followed.energy_hartree < held.energy_hartree - 0.01
    assert any(isinstance(report, Log) and "saddle point" in report.message for report in reports)
    assert followed.reference is not None
    assert followed.reference.stable is True


def test_second_order_steps_are_the_last_rung() -> None:
    # CN in STO-3G: neither plain DIIS, damping nor a level shift converges in 100 cycles each.
    result, reports = solve(atoms(("C", 0, 0, 0), ("N", 0, 0, 1.17), multiplicity=2), HF)
    tried = [report.message for report in reports if isinstance(report, Log)]
    assert ["damping" in tried[0], "level shift" in tried[1], "second-order" in tried[2]] == [True] * 3
    assert result.converged


def test_an_unrestricted_singlet_breaks_symmetry_where_that_is_lower() -> None:
    restricted, _ = solve(FAR_H2, {"name": "hf", "check_stability": True})
    unrestricted, _ = solve(FAR_H2, {"name": "hf", "reference": "uhf"})
    # Two hydrogen atoms in STO-3G: 2 x -0.46658185 hartree; S^2 of an equal mix of singlet and triplet is 1.
    assert unrestricted.energy_hartree == pytest.approx(-0.9331637, abs=1e-6)
    assert unrestricted.reference is not None
    assert unrestricted.reference.s_squared == pytest.approx(1.0, abs=1e-4)
    assert restricted.energy_hartree > unrestricted.energy_hartree + 0.1
    assert any("unstable towards UHF" in warning for warning in restricted.warnings)


def test_a_restricted_saddle_is_told_without_being_asked() -> None:
    """Dicarbon: a restricted solution 16 millihartree lower exists, and an unrestricted one."""
    dicarbon = atoms(("C", 0, 0, 0), ("C", 0, 0, 1.24))
    plainly, _ = solve(dicarbon, HF, basis="6-31g")
    asked, _ = solve(dicarbon, HF | {"check_stability": True}, basis="6-31g")
    assert asked.energy_hartree < plainly.energy_hartree - 0.01
    assert any("a lower one exists" in warning for warning in plainly.warnings)
    assert any("unstable towards UHF" in warning for warning in plainly.warnings)
    assert not any("a lower one exists" in warning for warning in asked.warnings)


@pytest.mark.parametrize("molecule", [WATER, {"library": "N2"}, {"library": "CO"}, {"library": "formaldehyde"}])
def test_a_stable_molecule_is_not_warned_of(molecule: dict[str, Any]) -> None:
    result, _ = solve(molecule, HF, basis="6-31g")
    assert not result.warnings


def test_rhf_of_unpaired_electrons_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="rhf needs multiplicity 1, got 3"):
        solve(OXYGEN, {"name": "hf", "reference": "rhf"})


def test_density_fitting_is_named_and_close() -> None:
    fitted, _ = solve(WATER, {"name": "hf", "density_fit": True}, basis="6-31g")
    assert any("cc-pvdz-jkfit" in warning for warning in fitted.warnings)
    assert fitted.energy_hartree == pytest.approx(-75.9839744727, abs=1e-4)
    assert abs(fitted.energy_hartree + 75.9839744727) > 1e-8


@pytest.mark.parametrize("kind", ["uhf", "rohf"])
def test_one_electron_is_solved_exactly(kind: str) -> None:
    # Hydrogen atom in STO-3G (Szabo and Ostlund, p. 110 give -0.4666).
    result, _ = solve(atoms(("H", 0, 0, 0), multiplicity=2), {"name": "hf", "reference": kind})
    assert result.energy_hartree == pytest.approx(-0.46658185, abs=1e-7)


def test_a_second_run_does_not_see_the_first() -> None:
    first, _ = solve(WATER, HF)
    solve(OXYGEN, HF)
    again, _ = solve(WATER, HF)
    assert first.energy_hartree == again.energy_hartree


def test_constants_agree_with_codata() -> None:
    hartree_ev = constants.physical_constants["Hartree energy in eV"][0]
    assert pytest.approx(hartree_ev, rel=1e-9) == properties.EV_PER_HARTREE
    moment = constants.physical_constants["atomic unit of electric dipole mom."][0]  # C m
    debye = 1e-21 / constants.c  # C m
    assert pytest.approx(moment / debye, rel=1e-8) == properties.DEBYE_PER_AU


@pytest.mark.parametrize(
    "method", [HF | {"reference": "uhf"}, {"name": "dft", "xc": "pbe0", "grid_level": 0, "reference": "uhf"}]
)
def test_an_unrestricted_singlet_leaves_the_restricted_saddle(method: dict[str, Any]) -> None:
    """Singlet O2: PySCF's own internal search calls the saddle stable."""
    singlet = atoms(("O", 0, 0, 0), ("O", 0, 0, 1.2))
    restricted, _ = solve(singlet, method | {"reference": "rhf"}, basis="6-31g")
    broken, _ = solve(singlet, method | {"reference": "uhf"}, basis="6-31g")
    assert broken.energy_hartree < restricted.energy_hartree - 5e-3
    assert broken.reference is not None
    assert broken.reference.stable
    assert (broken.reference.s_squared or 0.0) > 0.5
