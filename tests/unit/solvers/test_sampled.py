"""Selected CI, Krylov sampling, states and comparisons of SQD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kanad_solvers import active_space, krylov, mole
from kanad_solvers.molecule import parse
from kanad_solvers.progress import Log
from kanad_solvers.run import Watch
from kanad_solvers.spec import HartreeFock, Molecule, Spec
from tests.unit.solvers.solving import H2, LIH, OXYGEN, WATER, atoms, solve

N2 = atoms(("N", 0, 0, 0), ("N", 0, 0, 1.0977))
WINDOW = {"basis": "cc-pvdz", "active_space": {"electrons": 10, "orbitals": 8}}
CASCI_N2 = -109.0343803483  # tests/data, n2-casci-10e8o
FCI_WATER = -75.0125782411


# Selected CI


def test_a_fine_selection_is_full_ci() -> None:
    result, _ = solve(WATER, {"name": "selected_ci", "epsilon": 1e-6})
    assert result.converged
    assert result.energy_hartree == pytest.approx(FCI_WATER, abs=1e-7)


def test_a_finer_selection_is_never_worse_and_never_below_the_exact_energy() -> None:
    energies = [
        solve(N2, {"name": "selected_ci", "epsilon": epsilon}, **WINDOW)[0].energy_hartree
        for epsilon in (3e-2, 1e-2, 3e-3, 1e-3)
    ]
    assert energies == sorted(energies, reverse=True)
    assert min(energies) > CASCI_N2 - 1e-8


def test_a_selection_that_still_grows_says_so() -> None:
    result, reports = solve(N2, {"name": "selected_ci", "epsilon": 1e-4, "max_iterations": 1}, **WINDOW)
    assert not result.converged
    assert any("max_iterations" in warning for warning in result.warnings)
    assert any("determinants" in report.message for report in reports if isinstance(report, Log))


def test_open_shells_are_selected_too() -> None:
    result, _ = solve(OXYGEN, {"name": "selected_ci", "epsilon": 1e-5}, active_space={"electrons": 8, "orbitals": 6})
    assert result.energy_hartree == pytest.approx(result.comparisons["fci"], abs=1e-6)
    assert result.states[0].s_squared == pytest.approx(2, abs=1e-3)


# Krylov


def window_of(name: str) -> Any:
    watch = Watch(lambda _: None, lambda: False)
    spec = Spec(molecule=Molecule(library=name), method=HartreeFock())
    return active_space.reference_window(spec, mole.build(spec, parse(spec.molecule)), watch), watch


def test_evolution_is_the_matrix_exponential() -> None:
    from scipy.linalg import expm

    window, watch = window_of("LiH")
    shape = (15, 15)
    apply = krylov.hamiltonian(window, shape)
    unit = np.eye(225).reshape(225, *shape).astype(complex)
    matrix = np.array([apply(column).ravel() for column in unit]).T
    states = list(krylov.evolved_states(window, 3, 0.7, watch))
    for k, state in enumerate(states):
        expected = expm(-0.7j * k * matrix)[:, 0]
        assert state.ravel() == pytest.approx(expected, abs=1e-7)
        assert np.linalg.norm(state) == pytest.approx(1, abs=1e-9)


def test_krylov_samples_give_full_ci_of_hydrogen() -> None:
    result, _ = solve(H2, {"name": "krylov_sqd"})
    assert result.energy_hartree == pytest.approx(-1.1372701747, abs=1e-8)
    assert result.sampling is not None
    assert result.sampling.sampler == "krylov"


def test_more_time_steps_reach_deeper_and_never_below_the_exact_energy() -> None:
    method = {"name": "krylov_sqd", "samples_per_batch": 40, "seed": 3}
    energies = [solve(N2, method | {"krylov_dim": dim}, **WINDOW)[0].energy_hartree for dim in (1, 2, 6)]
    assert energies[0] > energies[1] > energies[2] > CASCI_N2 - 1e-8
    again, _ = solve(N2, method | {"krylov_dim": 6}, **WINDOW)
    assert again.energy_hartree == energies[2]


# SQD


def test_the_result_shows_whether_sampling_paid() -> None:
    result, _ = solve(N2, {"name": "sqd", "samples_per_batch": 30, "noise": 0.02, "seed": 2}, **WINDOW)
    assert set(result.comparisons) == {"hf", "selected_ci", "fci"}
    assert result.comparisons["fci"] - 1e-8 < result.energy_hartree < result.comparisons["hf"]
    sampling = result.sampling
    assert sampling is not None
    assert 0 < sampling.valid_fraction < 1  # noise has broken some
    assert sampling.iterations[-1].energy_hartree == pytest.approx(result.energy_hartree, abs=1e-8)
    for iteration in sampling.iterations:
        assert sum(iteration.occupancies_alpha) == pytest.approx(5, abs=1e-6)
        assert sum(iteration.occupancies_beta) == pytest.approx(5, abs=1e-6)
    energies = [iteration.energy_hartree for iteration in sampling.iterations]
    assert energies == sorted(energies, reverse=True)


@pytest.mark.parametrize(("spin", "s_squared"), [("singlet", 0.0), ("triplet", 2.0)])
def test_states_of_the_spin_asked_for(spin: str, s_squared: float) -> None:
    task = {"name": "excited_states", "n_states": 2, "spin": spin}
    ours, _ = solve(LIH, {"name": "sqd", "samples_per_batch": 1000, "sampler": "uniform"}, task=task)
    exact, _ = solve(LIH, {"name": "fci"}, task=task)
    assert [s.energy_hartree for s in ours.states] == pytest.approx([s.energy_hartree for s in exact.states], abs=1e-6)
    assert [s.s_squared for s in ours.states[1:]] == pytest.approx([s_squared] * 2, abs=1e-4)


def test_samples_of_a_lucj_circuit() -> None:
    pytest.importorskip("ffsim")
    result, _ = solve(N2, {"name": "sqd", "sampler": "lucj", "layers": 2, "seed": 1}, **WINDOW)
    assert CASCI_N2 - 1e-8 < result.energy_hartree < result.comparisons["hf"]
    assert result.circuit is not None
    assert result.circuit.two_qubit_gates is not None
