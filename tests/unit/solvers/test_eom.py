"""EOM-CCSD: no root is skipped, spins are told, and nothing is made up."""

from __future__ import annotations

import pytest

from tests.unit.solvers.solving import H2, WATER, atoms, solve

CCSD = {"name": "ccsd"}
HYDROXYL = atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)


def test_two_electrons_give_the_roots_of_full_ci() -> None:
    task = {"name": "excited_states", "n_states": 3, "spin": "any"}
    ours, _ = solve(H2, CCSD, basis="6-31g", task=task)
    exact, _ = solve(H2, {"name": "fci"}, basis="6-31g", task=task)
    found = [state.excitation_ev for state in ours.states]
    assert found == pytest.approx([state.excitation_ev for state in exact.states], abs=1e-4)
    assert [state.s_squared for state in ours.states] == pytest.approx([s.s_squared for s in exact.states], abs=1e-6)


def test_few_roots_are_the_lowest_of_many() -> None:
    two, four = (
        solve(WATER, CCSD, task={"name": "excited_states", "n_states": n, "spin": "singlet"})[0].states for n in (2, 4)
    )
    assert [s.excitation_ev for s in two] == pytest.approx([s.excitation_ev for s in four[:3]], abs=1e-4)


def test_oscillator_strengths_are_absent_not_zero() -> None:
    result, reports = solve(WATER, CCSD, task={"name": "excited_states", "n_states": 1})
    assert all(state.oscillator_strength is None for state in result.states)
    assert reports.series("eom-ccsd")


def test_an_unrestricted_reference_tells_no_spin() -> None:
    result, _ = solve(HYDROXYL, CCSD, task={"name": "excited_states", "n_states": 2, "spin": "any"})
    assert len(result.states) == 3
    assert all(state.s_squared is None for state in result.states[1:])
