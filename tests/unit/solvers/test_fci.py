"""Full CI: exact energies, roots of each spin, degenerate states, windows of orbitals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyscf import gto, mcscf, scf

from kanad_solvers import full_ci
from kanad_solvers.errors import InvalidSpec
from tests.unit.solvers.solving import FAR_H2, H2, LIH, OXYGEN, WATER, atoms, solve

FCI = {"name": "fci"}


def excitations(molecule: dict[str, Any], spin: str, n_states: int) -> tuple[list[float], list[float]]:
    task = {"name": "excited_states", "spin": spin, "n_states": n_states}
    result, _ = solve(molecule, FCI, task=task)
    above = result.states[1:]
    return [state.excitation_ev or 0.0 for state in above], [state.s_squared or 0.0 for state in above]


def test_excited_states_are_sorted_by_spin() -> None:
    # Roots of LiH/STO-3G by PySCF 2.14 (the reference case lih-qse-vqe names the same values).
    mixed, _ = excitations(LIH, "any", 5)
    singlets, pure = excitations(LIH, "singlet", 2)
    triplets, two = excitations(LIH, "triplet", 3)
    assert mixed == pytest.approx([3.1563, 3.6243, 4.5158, 4.5158, 5.0465], abs=1e-3)
    assert singlets == pytest.approx([3.6243, 5.0465], abs=1e-3)
    assert triplets == pytest.approx([3.1563, 4.5158, 4.5158], abs=1e-3)
    assert pure == pytest.approx([0, 0], abs=1e-8)
    assert two == pytest.approx([2, 2, 2], abs=1e-8)


def test_singlet_transitions_shine_and_triplet_ones_do_not() -> None:
    result, _ = solve(LIH, FCI, task={"name": "excited_states", "spin": "any", "n_states": 2})
    triplet, singlet = result.states[1:]
    assert (triplet.label, singlet.label) == ("triplet", "singlet")
    assert triplet.oscillator_strength == pytest.approx(0, abs=1e-10)
    assert singlet.oscillator_strength is not None
    assert singlet.oscillator_strength > 0.01


def test_degenerate_states_are_given_one_spin_each() -> None:
    # Two far hydrogen atoms: singlet and triplet coincide, and an eigensolver may return any mixture.
    result, _ = solve(FAR_H2, {"name": "fci", "n_states": 2})
    assert result.energy_hartree == pytest.approx(2 * -0.46658185, abs=1e-7)
    assert sorted(state.s_squared or 0.0 for state in result.states) == pytest.approx([0, 2], abs=1e-8)


def test_mixtures_of_degenerate_states_are_taken_apart() -> None:
    # |ab'> and |ba'> of two electrons in two orbitals: each is half singlet, half triplet.
    mixed = [np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])]
    energies, vectors, spins = full_ci.purify(np.array([-1.0, -1.0]), mixed, lambda c: c - c.T)
    assert spins == pytest.approx([0, 2])
    assert energies == pytest.approx([-1, -1])
    assert vectors[0] == pytest.approx(vectors[0].T)
    assert vectors[1] == pytest.approx(-vectors[1].T)


def test_davidson_finds_the_roots_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    method = {"name": "fci", "n_states": 5}
    whole, _ = solve(WATER, method)
    monkeypatch.setattr(full_ci, "WHOLE_DETERMINANTS", 0)
    davidson, reports = solve(WATER, method)
    for found, exact in zip(davidson.states, whole.states, strict=True):
        assert found.energy_hartree == pytest.approx(exact.energy_hartree, abs=1e-8)
    assert len(reports.series("davidson")) > 3
    assert len(reports.states()) == 5


@pytest.mark.parametrize("spin", [pytest.param("singlet", marks=pytest.mark.slow), "any"])
def test_two_electrons_take_any_number_of_orbitals(spin: str) -> None:
    # H2 in aug-cc-pVQZ, 92 functions: the same matrix through direct_spin1.contract_2e of PySCF 2.14.
    result, reports = solve(H2, {"name": "fci", "spin": spin}, basis="aug-cc-pvqz")
    assert result.energy_hartree == pytest.approx(-1.1738672158, abs=1e-8)
    assert len(reports.series("davidson")) > 3


@pytest.mark.parametrize("spin", ["singlet", "triplet"])
def test_davidson_finds_the_roots_of_one_spin(spin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = excitations(LIH, spin, 4)
    monkeypatch.setattr(full_ci, "WHOLE_DETERMINANTS", 0)
    assert excitations(LIH, spin, 4)[0] == pytest.approx(whole[0], abs=1e-6)


def test_a_window_is_casci() -> None:
    result, _ = solve(WATER, FCI, basis="6-31g", active_space={"electrons": 6, "orbitals": 6})
    mol = gto.M(atom="O 0 0 .1173; H 0 .7572 -.4692; H 0 -.7572 -.4692", basis="6-31g", verbose=0)
    exact = mcscf.CASCI(scf.RHF(mol).run(conv_tol=1e-11), 6, 6).run().e_tot
    assert result.energy_hartree == pytest.approx(exact, abs=1e-7)


def test_an_open_shell_window_uses_rohf_orbitals() -> None:
    result, _ = solve(OXYGEN, FCI, active_space={"electrons": 8, "orbitals": 6})
    mol = gto.M(atom="O 0 0 0; O 0 0 1.2075", basis="sto-3g", spin=2, verbose=0)
    exact = mcscf.CASCI(scf.ROHF(mol).run(conv_tol=1e-11), 6, 8).run().e_tot
    assert result.reference is not None
    assert result.reference.type == "rohf"
    assert result.energy_hartree == pytest.approx(exact, abs=1e-7)
    assert result.states[0].s_squared == pytest.approx(2, abs=1e-6)


def test_a_frozen_core_costs_little_and_correlates_less() -> None:
    full, _ = solve(WATER, FCI)
    frozen, _ = solve(WATER, FCI, active_space={"frozen_core": True})
    assert 0 < frozen.energy_hartree - full.energy_hartree < 1e-3


def test_spin_gives_the_lowest_state_of_that_spin() -> None:
    singlet, _ = solve(OXYGEN, {"name": "fci", "spin": "singlet"}, active_space={"electrons": 8, "orbitals": 6})
    triplet, _ = solve(OXYGEN, {"name": "fci", "spin": "triplet"}, active_space={"electrons": 8, "orbitals": 6})
    assert triplet.energy_hartree < singlet.energy_hartree
    assert singlet.states[0].label == "singlet"
    assert any("multiplicity" in warning for warning in singlet.warnings)


@pytest.mark.parametrize("basis", ["sto-3g", "6-31g"])
def test_one_electron_needs_no_correlation(basis: str) -> None:
    result, _ = solve(atoms(("H", 0, 0, 0), multiplicity=2), FCI, basis=basis)
    assert result.components["correlation_hartree"] == pytest.approx(0, abs=1e-10)
    assert result.states[0].s_squared == pytest.approx(0.75, abs=1e-10)


def test_two_electrons_of_one_spin() -> None:
    result, _ = solve(atoms(("He", 0, 0, 0), multiplicity=3), FCI, basis="6-31g")
    assert result.states[0].s_squared == pytest.approx(2, abs=1e-10)
    assert result.properties is not None
    assert np.isfinite(result.properties.dipole_debye or (np.nan,)).all()


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"active_space": {"electrons": 3, "orbitals": 2}}, "active_space.electrons"),
        ({"active_space": {"electrons": 12, "orbitals": 2}}, "active_space.electrons"),
        ({"active_space": {"electrons": 4, "orbitals": 9}}, "active_space.orbitals"),
        ({"active_space": {"electrons": 4, "orbitals": 1}}, "active_space"),
        ({"active_space": {"electrons": 4, "orbitals": 4, "frozen_core": True}}, "active_space"),
    ],
)
def test_windows_that_do_not_fit_are_refused(more: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        solve(WATER, FCI, **more)
    assert caught.value.errors[0].path == f"$.{path}"


def test_more_states_than_exist_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="3 singlet states were found"):
        solve(H2, {"name": "fci", "n_states": 4, "spin": "singlet"})
