"""Minimising in stretched angles, and what stretches them."""

from __future__ import annotations

import numpy as np
import pytest

from kanad_solvers.optimizers import by_gradient
from kanad_solvers.statevector import Ansatz, uccsd


def test_stiffness_is_the_curvature_of_one_angle_at_the_reference() -> None:
    norb, nelec = 4, (2, 2)
    ansatz = Ansatz(norb, nelec, uccsd(norb, nelec)[0])
    matrix = np.random.default_rng(1).normal(size=(ansatz.size, ansatz.size))
    matrix += matrix.T
    stiffness = ansatz.stiffness(matrix.diagonal().copy())
    owners = [excitation.parameter for excitation in ansatz.excitations]
    alone = [parameter for parameter in range(ansatz.parameters) if owners.count(parameter) == 1]
    assert len(alone) > 3
    step = 1e-3

    def energy(parameter: int, angle: float) -> float:
        angles = np.zeros(ansatz.parameters)
        angles[parameter] = angle
        state = ansatz.state(angles)
        return float(state @ matrix @ state)

    for parameter in alone:
        curvature = energy(parameter, step) - 2 * energy(parameter, 0.0) + energy(parameter, -step)
        assert curvature / step**2 == pytest.approx(stiffness[parameter], abs=1e-4)


@pytest.mark.parametrize("name", ["l-bfgs-b", "slsqp"])
def test_stretched_angles_end_in_the_same_place_sooner(name: str) -> None:
    stiffness = np.geomspace(0.5, 500.0, 8)
    place = np.linspace(-1.0, 1.0, 8)
    seen = []

    def function(angles: np.ndarray) -> tuple[float, np.ndarray]:
        off = angles - place
        return float(stiffness @ off**2) / 2, stiffness * off

    def report(angles: np.ndarray, energy: float, slope: float | None) -> None:
        assert energy == pytest.approx(function(angles)[0], abs=1e-12)
        assert slope is not None
        seen.append(angles)

    plain, stretched = (by_gradient(name, function, np.zeros(8), 200, report, known) for known in (None, stiffness))
    assert stretched.angles == pytest.approx(place, abs=1e-4)
    assert stretched.gradient_norm == pytest.approx(np.abs(function(stretched.angles)[1]).max(), abs=1e-6)
    assert stretched.iterations < plain.iterations
    assert len(seen) == plain.iterations + stretched.iterations
