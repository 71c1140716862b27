"""EOM-CCSD: no root is skipped, spins are told, and nothing is made up."""

from __future__ import annotations

import msgspec
import pytest

from kanad_solvers import eom_spin
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.prepare import prepare
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import H2, WATER, atoms, solve

CCSD = {"name": "ccsd"}
H3 = atoms(("H", 0, 0, 0), ("H", 0, 0, 1.0), ("H", 0, 0, 2.3), multiplicity=2)
H2_TRIPLET = atoms(("H", 0, 0, 0), ("H", 0, 0, 0.9), multiplicity=3)
TORN_H2 = atoms(("H", 0, 0, 0), ("H", 0, 0, 2.0))
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


def test_spins_on_an_unrestricted_reference_are_those_of_full_ci() -> None:
    """Three electrons: triple excitations, left out of S^2, are all that differs."""
    task = {"name": "excited_states", "n_states": 4, "spin": "any"}
    ours, _ = solve(H3, CCSD, basis="6-31g", task=task)
    exact, _ = solve(H3, {"name": "fci"}, basis="6-31g", task=task)
    assert [state.label for state in exact.states[1:]] == ["doublet", "quartet", "doublet", "doublet"]
    assert [state.label for state in ours.states[1:]] == [state.label for state in exact.states[1:]]
    spins = [state.s_squared for state in ours.states[1:]]
    assert spins == pytest.approx([state.s_squared for state in exact.states[1:]], abs=0.02)


def test_spins_above_a_broken_symmetry_reference_are_pure() -> None:
    """Two electrons: EOM-CCSD is exact, also where the determinant is half a triplet."""
    task = {"name": "excited_states", "n_states": 4, "spin": "any"}
    result, _ = solve(TORN_H2, {"name": "ccsd", "reference": "uhf"}, basis="6-31g", task=task)
    assert result.reference is not None
    assert result.reference.s_squared > 0.9
    assert [state.s_squared for state in result.states] == pytest.approx([0, 2, 0, 0, 2], abs=1e-5)


def test_frozen_electrons_count_in_the_spin() -> None:
    method = {"name": "ccsd", "frozen_core": True}
    result, _ = solve(HYDROXYL, method, task={"name": "excited_states", "n_states": 2, "spin": "any"})
    assert result.states[1].s_squared == pytest.approx(0.75, abs=0.01)
    assert [state.label for state in result.states[1:]] == ["doublet", "quartet"]


def test_spin_is_left_out_where_its_memory_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eom_spin, "memory_mb", lambda _: 40.0)
    task = {"name": "excited_states", "n_states": 1, "spin": "any"}
    result, _ = solve(HYDROXYL, CCSD, task=task, limits={"memory_mb": 80})
    assert all(state.s_squared is not None for state in result.states)
    result, _ = solve(HYDROXYL, CCSD, task=task, limits={"memory_mb": 79})
    assert [state.s_squared for state in result.states] == [None, None]
    assert any("limits.memory_mb of about 80" in warning for warning in result.warnings)


def test_electrons_of_one_spin_are_refused_before_anything_runs() -> None:
    task = {"name": "excited_states", "n_states": 1, "spin": "any"}
    spec = {"molecule": H2_TRIPLET, "method": CCSD, "basis": "6-31g", "task": task}
    with pytest.raises(InvalidSpec, match="both spins"):
        prepare(msgspec.convert(spec, Spec))
