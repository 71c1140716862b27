"""CIS and TDHF: roots that are not skipped, spins, and S^2 against an explicit wave function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyscf import fci, gto, scf, tdscf
from pyscf.fci import cistring

from kanad_solvers import excited
from kanad_solvers.errors import InvalidSpec
from tests.unit.solvers.solving import H2, OXYGEN, WATER, atoms, solve

HYDROXYL = atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)


def energies(molecule: dict[str, Any], spin: str, n_states: int, tda: bool, reference: str = "auto") -> list[float]:
    task = {"name": "excited_states", "spin": spin, "n_states": n_states, "tda": tda}
    result, _ = solve(molecule, {"name": "hf", "reference": reference}, task=task, basis="6-31g")
    return [state.excitation_ev or 0.0 for state in result.states[1:]]


@pytest.mark.parametrize("tda", [True, False])
def test_no_root_is_skipped(tda: bool) -> None:
    few = energies(WATER, "singlet", 2, tda)
    many = energies(WATER, "singlet", 8, tda)
    assert few == pytest.approx(many[:2], abs=1e-5)
    assert many == sorted(many)


@pytest.mark.parametrize("tda", [True, False])
def test_any_spin_is_singlets_and_triplets_together(tda: bool) -> None:
    both = sorted(energies(WATER, "singlet", 4, tda) + energies(WATER, "triplet", 4, tda))[:4]
    assert energies(WATER, "any", 4, tda) == pytest.approx(both, abs=1e-6)


def test_hydrogen_cis_is_two_by_two_algebra() -> None:
    # Minimal H2 has one excitation: e_a - e_i + 2 (ia|ia) - (ii|aa) for the singlet, without 2 (ia|ia) for
    # the triplet (Szabo and Ostlund, section 4.3).
    mol = gto.M(atom="H 0 0 0; H 0 0 0.7414", basis="sto-3g", verbose=0)
    field = scf.RHF(mol).run()
    mo = np.einsum("pqrs,pi,qj,rk,sl->ijkl", mol.intor("int2e"), *[field.mo_coeff] * 4)
    gap = field.mo_energy[1] - field.mo_energy[0]
    expected = {"singlet": gap + 2 * mo[0, 1, 0, 1] - mo[0, 0, 1, 1], "triplet": gap - mo[0, 0, 1, 1]}
    for spin, value in expected.items():
        task = {"name": "excited_states", "spin": spin, "n_states": 1, "tda": True}
        result, _ = solve(H2, {"name": "hf"}, task=task)
        found = result.states[1].energy_hartree - result.states[0].energy_hartree
        assert found == pytest.approx(value, abs=1e-7)
        assert result.states[1].label == spin


@pytest.mark.parametrize("spin", ["singlet", "triplet"])
def test_an_unrestricted_closed_shell_gives_the_restricted_states(spin: str) -> None:
    assert energies(WATER, spin, 3, True, "uhf") == pytest.approx(energies(WATER, spin, 3, True), abs=1e-4)


def test_open_shells_list_states_of_any_spin_with_s_squared() -> None:
    task = {"name": "excited_states", "n_states": 4, "tda": True}
    result, _ = solve(HYDROXYL, {"name": "hf"}, task=task)
    assert len(result.states) == 5
    assert all(state.s_squared is not None for state in result.states)
    assert any("no pure spin" in warning for warning in result.warnings)


def test_s_squared_is_that_of_the_wave_function_written_out() -> None:
    mol = gto.M(atom="O 0 0 0; H 0 0 .97", basis="sto-3g", spin=1, verbose=0)
    field = scf.UHF(mol).run()
    solver = tdscf.uhf.TDA(field)
    solver.nstates = 4
    solver.kernel()
    overlap = excited._spin_overlap(field, [occupation > 0 for occupation in field.mo_occ])
    for amplitudes, _ in solver.xy:
        vector = determinants(amplitudes, mol.nao, field.nelec)
        exact = fci.spin_op.spin_square(
            vector, mol.nao, field.nelec, mo_coeff=tuple(field.mo_coeff), ovlp=field.get_ovlp()
        )[0]
        assert excited.singles_s_squared(amplitudes, overlap) == pytest.approx(exact, abs=1e-10)


def determinants(amplitudes: Any, norb: int, nelec: tuple[int, int]) -> Any:
    """Single excitations as a CI matrix over all strings."""
    vector = np.zeros([cistring.num_strings(norb, n) for n in nelec])
    for spin, (electrons, matrix) in enumerate(zip(nelec, amplitudes, strict=True)):
        filled = (1 << electrons) - 1
        for (i, a), amplitude in np.ndenumerate(matrix):
            string = (filled ^ (1 << i)) | (1 << (electrons + a))
            sign = (-1) ** (electrons - 1 - i)  # electrons above i that the operator passes
            place = cistring.str2addr(norb, electrons, string)
            vector[(place, 0) if spin == 0 else (0, place)] += sign * amplitude
    return vector


def test_more_states_than_excitations_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="1 single excitations, 2 were asked for"):
        solve(H2, {"name": "hf"}, task={"name": "excited_states", "n_states": 2})


def test_a_restricted_open_shell_reference_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="got rohf"):
        solve(OXYGEN, {"name": "hf", "reference": "rohf"}, task={"name": "excited_states"})
