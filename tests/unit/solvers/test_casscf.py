"""CASCI and CASSCF: orbitals, averages, active spaces by AVAS, gradients, and the use of symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kanad_solvers import symmetry
from tests.unit.solvers.solving import OXYGEN, WATER, atoms, solve

N2 = atoms(("N", 0, 0, 0), ("N", 0, 0, 1.0977))
SIX = {"electrons": 6, "orbitals": 6}
CASSCF = {"name": "casscf"}


def test_optimised_orbitals_lower_the_energy() -> None:
    fixed, _ = solve(N2, {"name": "casci"}, active_space=SIX)
    free, reports = solve(N2, CASSCF, active_space=SIX)
    assert free.converged
    assert free.energy_hartree < fixed.energy_hartree - 1e-3
    series = reports.series("casscf")
    assert [report.iteration for report in series] == list(range(1, len(series) + 1))
    assert series[-1].energy_hartree == pytest.approx(free.energy_hartree, abs=1e-8)


def test_the_average_over_states_is_what_was_minimised() -> None:
    result, _ = solve(N2, CASSCF | {"n_states": 3}, active_space=SIX)
    mean = np.mean([state.energy_hartree for state in result.states])
    assert result.components["state_average_hartree"] == pytest.approx(mean, abs=1e-7)
    assert [state.index for state in result.states] == [0, 1, 2]


def test_states_of_one_spin_only() -> None:
    task = {"name": "excited_states", "n_states": 2, "spin": "singlet"}
    result, _ = solve(N2, CASSCF, active_space=SIX, task=task)
    assert [state.s_squared for state in result.states] == pytest.approx([0, 0, 0], abs=1e-6)


def test_avas_finds_the_valence_p_shell() -> None:
    named, _ = solve(N2, CASSCF, active_space={"avas": ["N 2p"]}, basis="6-31g")
    counted, _ = solve(N2, CASSCF, active_space=SIX, basis="6-31g")
    assert named.energy_hartree < counted.energy_hartree + 1e-6  # the window holds other orbitals than 2p here
    assert named.converged


def test_the_gradient_is_the_slope_of_the_energy() -> None:
    result, _ = solve(N2, CASSCF | {"conv_tol": 1e-10}, active_space=SIX, task={"name": "energy", "gradient": True})
    ends = [
        solve(atoms(("N", 0, 0, 0), ("N", 0, 0, 1.0977 + shift)), CASSCF | {"conv_tol": 1e-10}, active_space=SIX)[0]
        for shift in (2e-3, -2e-3)
    ]
    slope = (ends[0].energy_hartree - ends[1].energy_hartree) / (4e-3 / 0.529177210903)
    assert result.properties is not None
    gradient = result.properties.gradient_hartree_per_bohr
    assert gradient is not None
    assert gradient[1][2] == pytest.approx(slope, abs=2e-5)


def test_what_does_not_converge_says_so() -> None:
    result, _ = solve(N2, CASSCF | {"max_iterations": 1}, active_space=SIX)
    assert not result.converged
    assert any("max_iterations" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("molecule", "window", "method"),
    [
        (N2, {"electrons": 10, "orbitals": 8}, {"n_states": 4}),
        (N2, {"electrons": 10, "orbitals": 8}, {"n_states": 3, "spin": "triplet"}),
        (OXYGEN, {"electrons": 12, "orbitals": 8}, {"n_states": 3}),
        (WATER, {"electrons": 8, "orbitals": 9}, {"n_states": 2, "spin": "singlet"}),
    ],
    ids=["N2", "N2-triplets", "O2", "H2O"],
)
def test_symmetry_changes_the_time_and_nothing_else(
    molecule: dict[str, Any], window: dict[str, int], method: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"active_space": window, "basis": "6-31g"}
    fast, _ = solve(molecule, {"name": "casci"} | method, **fields)
    monkeypatch.setattr(symmetry, "adapt", lambda *_: None)
    plain, _ = solve(molecule, {"name": "casci"} | method, **fields)
    assert [s.energy_hartree for s in fast.states] == pytest.approx([s.energy_hartree for s in plain.states], abs=1e-8)
    assert [s.s_squared for s in fast.states] == pytest.approx([s.s_squared for s in plain.states], abs=1e-5)
    assert fast.properties is not None
    assert plain.properties is not None
    assert np.linalg.norm(fast.properties.dipole_debye or 0) == pytest.approx(
        np.linalg.norm(plain.properties.dipole_debye or 0), abs=1e-4
    )


def test_a_window_that_cuts_a_degenerate_pair_does_without_symmetry() -> None:
    cut, _ = solve(N2, {"name": "casci"}, active_space={"electrons": 8, "orbitals": 8}, basis="6-31g")
    assert cut.converged
    assert cut.comparisons["hf"] > cut.energy_hartree
