"""Density functionals, dispersion, solvents, and states on top of them."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf import dft, gto

from kanad_solvers.functionals import FUNCTIONALS
from kanad_solvers.solvents import permittivities
from tests.unit.solvers.solving import OXYGEN, WATER, atoms, solve

ARGON_PAIR = atoms(("Ar", 0, 0, 0), ("Ar", 0, 0, 3.8))
FORMALDEHYDE = {"library": "formaldehyde"}
LYING = ("wb97x-d", "wb97x-d3", "b97-d", "b3lyp-d3bj", "lc-wpbe")  # docs/methods.md: names that promise more


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_every_functional_on_the_list_runs_and_adds_no_dispersion_by_itself(name: str) -> None:
    result, _ = solve(WATER, {"name": "dft", "xc": name, "grid_level": 0})
    assert result.converged
    assert -76 < result.energy_hartree < -74.5
    assert "dispersion_hartree" not in result.components


def test_names_that_promise_what_is_not_there_are_not_on_the_list() -> None:
    assert not set(LYING) & set(FUNCTIONALS)


def test_b3lyp_is_that_of_gaussian_and_b3lyp5_lies_37_millihartree_higher() -> None:
    usual, other = (solve(WATER, {"name": "dft", "xc": xc})[0].energy_hartree for xc in ("b3lyp", "b3lyp5"))
    assert other - usual == pytest.approx(0.0373, abs=2e-4)


@pytest.mark.parametrize("dispersion", ["d3bj", "d4"])
def test_dispersion_binds_and_is_told_apart(dispersion: str) -> None:
    bare, _ = solve(ARGON_PAIR, {"name": "dft", "xc": "pbe", "grid_level": 1})
    with_it, _ = solve(ARGON_PAIR, {"name": "dft", "xc": "pbe", "grid_level": 1, "dispersion": dispersion})
    shift = with_it.components["dispersion_hartree"]
    assert -2e-3 < shift < -1e-4
    assert with_it.energy_hartree - bare.energy_hartree == pytest.approx(shift, abs=1e-8)


def test_open_shells_are_unrestricted() -> None:
    result, _ = solve(OXYGEN, {"name": "dft", "xc": "pbe0", "grid_level": 1})
    assert result.reference is not None
    assert result.reference.type == "uhf"
    assert result.reference.s_squared == pytest.approx(2.0, abs=0.02)


def test_the_components_are_those_of_a_functional() -> None:
    result, _ = solve(WATER, {"name": "dft", "xc": "pbe", "grid_level": 1})
    assert "hf_hartree" not in result.components
    assert result.components["exchange_correlation_hartree"] < -8
    assert result.properties is not None
    assert result.properties.density == "dft"


@pytest.mark.parametrize(("xc", "tda"), [("pbe", False), ("pbe", True), ("pbe0", False), ("cam-b3lyp", False)])
def test_states_are_those_of_plain_pyscf_asked_for_many(xc: str, tda: bool) -> None:
    task = {"name": "excited_states", "n_states": 3, "tda": tda}
    result, reports = solve(FORMALDEHYDE, {"name": "dft", "xc": xc, "grid_level": 0}, task=task)
    assert result.geometry is not None
    places = list(zip(result.geometry.symbols, result.geometry.coordinates_angstrom, strict=True))
    field = dft.RKS(gto.M(atom=places, basis="sto-3g", verbose=0), xc=xc).set(conv_tol=1e-10)
    field.grids.level = 0
    field.kernel()
    solver = field.TDA() if tda else field.TDDFT()
    energies = np.sort(solver.run(nstates=12).e)[:3] * 27.211386245988
    assert [state.excitation_ev for state in result.states[1:]] == pytest.approx(energies.tolist(), abs=1e-3)
    assert reports.series("tda" if tda else "tddft")


def test_unrestricted_states_carry_their_spin() -> None:
    task = {"name": "excited_states", "n_states": 2, "spin": "any"}
    result, _ = solve(OXYGEN, {"name": "dft", "xc": "pbe0", "grid_level": 1}, task=task)
    assert all(state.s_squared is not None for state in result.states)


# Solvents


def test_models_agree_on_sign_and_size() -> None:
    found = {
        model: solve(WATER, {"name": "hf"}, basis="6-31g*", solvent={"model": model})[0].components["solvation_hartree"]
        for model in ("cpcm", "ddcosmo", "smd")
    }
    assert all(-0.02 < value < -0.005 for value in found.values()), found


def test_a_less_polar_solvent_binds_less() -> None:
    water, hexane = (
        solve(WATER, {"name": "hf"}, solvent={"model": "cpcm", "name": name})[0].components["solvation_hartree"]
        for name in ("water", "n-hexane")
    )
    assert water < hexane < 0
    assert permittivities()["water"] == 78.3553


def test_a_gradient_in_the_solvent_is_the_slope_of_its_energy() -> None:
    solvent = {"model": "cpcm", "name": "water"}
    task = {"name": "energy", "gradient": True}
    result, _ = solve(WATER, {"name": "hf", "conv_tol": 1e-11}, solvent=solvent, task=task)
    step = 1e-3
    ends = []
    for sign in (1, -1):
        moved = atoms(("O", 0, 0, 0.1173 + sign * step), ("H", 0, 0.7572, -0.4692), ("H", 0, -0.7572, -0.4692))
        ends.append(solve(moved, {"name": "hf", "conv_tol": 1e-11}, solvent=solvent)[0].energy_hartree)
    assert result.properties is not None
    gradient = result.properties.gradient_hartree_per_bohr
    assert gradient is not None
    assert gradient[0][2] == pytest.approx((ends[0] - ends[1]) / (2 * step / 0.529177210903), abs=2e-5)


def test_what_does_not_converge_says_so() -> None:
    result, _ = solve(WATER, {"name": "dft", "xc": "pbe", "grid_level": 0, "max_iterations": 1}, basis="6-31g")
    assert not result.converged
    assert any("raise max_iterations" in warning for warning in result.warnings)
