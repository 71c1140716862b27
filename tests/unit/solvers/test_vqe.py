"""The variational eigensolver: exact where UCCSD is, bounded elsewhere, and honest about its iterations."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kanad_solvers.errors import TooLarge
from kanad_solvers.progress import Log
from tests.unit.solvers.solving import H2, LIH, OXYGEN, WATER, atoms, solve

VQE = {"name": "vqe"}


def test_two_electrons_are_exact() -> None:
    result, _ = solve(H2, VQE)
    assert result.energy_hartree == pytest.approx(-1.1372701747, abs=1e-9)  # full CI, PySCF 2.14.0
    assert result.comparisons["fci"] == pytest.approx(-1.1372701747, abs=1e-9)


@pytest.mark.parametrize("molecule", [LIH, WATER])
def test_the_energy_lies_between_full_ci_and_hartree_fock(molecule: dict[str, object]) -> None:
    result, _ = solve(molecule, VQE)
    assert result.converged
    assert result.comparisons["fci"] - 1e-9 <= result.energy_hartree < result.comparisons["hf"]
    assert result.energy_hartree - result.comparisons["fci"] < 2e-4
    assert result.states[0].s_squared == pytest.approx(0, abs=1e-5)


def test_each_iteration_is_reported_once_and_never_rises() -> None:
    result, reports = solve(LIH, VQE)
    steps = reports.series("vqe")
    assert [step.iteration for step in steps] == list(range(1, len(steps) + 1))
    assert all(high.energy_hartree >= low.energy_hartree - 1e-12 for high, low in pairwise(steps))
    assert steps[-1].energy_hartree == result.energy_hartree
    assert any(isinstance(report, Log) and f"{len(steps)} iterations took" in report.message for report in reports)


def test_too_few_iterations_are_told_not_hidden() -> None:
    result, reports = solve(LIH, {"name": "vqe", "max_iterations": 2})
    assert not result.converged
    assert len(reports.series("vqe")) == 2
    assert any("max_iterations" in warning for warning in result.warnings)


def test_open_shells_keep_their_spin() -> None:
    result, _ = solve(OXYGEN, VQE, active_space={"electrons": 8, "orbitals": 6})
    assert result.comparisons["fci"] <= result.energy_hartree < result.comparisons["hf"]
    assert result.states[0].s_squared == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(
    ("molecule", "parameters"),
    [(atoms(("He", 0, 0, 0)), 0), (atoms(("H", 0, 0, 0), multiplicity=2), 0), (H2, 2), (LIH, 21)],
)
def test_the_circuit_is_counted(molecule: dict[str, object], parameters: int) -> None:
    result, _ = solve(molecule, VQE)
    assert result.circuit is not None
    assert result.circuit.parameters == parameters


def test_a_state_vector_beyond_memory_is_refused() -> None:
    with pytest.raises(TooLarge, match="state vector"):
        solve(WATER, VQE, basis="6-31g", limits={"memory_mb": 64})
