"""Classical minimisers of a variational energy: three of SciPy's, and simultaneous perturbation (SPSA)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kanad_solvers.properties import Array

Energy: TypeAlias = Callable[[Array], float]
Slopes: TypeAlias = Callable[[Array], tuple[float, Array]]
Report: TypeAlias = Callable[[Array, float, float | None], None]
"""Hears the end of an iteration: angles, energy (hartree), largest slope (hartree/radian) where it is known."""

GRADIENT_TOLERANCE = 1e-6  # hartree/radian, of stretched angles; the energy error is of second order in it
ENERGY_TOLERANCE = 1e-14  # relative change of the energy per iteration, just above rounding
LEAST_STIFFNESS = 0.5  # hartree/radian^2, picked: what is soft at the start may stiffen
SLSQP_TOLERANCE = 1e-10  # hartree
COBYLA_START, COBYLA_END = 0.1, 1e-6  # radius of the trust region, radian
# Gains of SPSA: a / (A + k)^alpha and c / k^gamma (Spall, IEEE Trans. Aerosp. Electron. Syst. 34, 817 (1998)).
SPSA_ALPHA, SPSA_GAMMA = 0.602, 0.101
SPSA_SHIFT = 0.1  # c, radian
SPSA_STABILITY = 0.1  # A as a share of the iterations
SPSA_FIRST_STEP = 0.1  # radian; a is chosen so that the first step has about this length per angle
SPSA_SAMPLES = 10  # slopes that a is chosen from
SPSA_WINDOW = 10  # iterations whose mean energy must have settled
SPSA_SETTLED = 1e-4  # hartree


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a search ended.

    Attributes:
        angles: shape (parameters,), radians.
        energy: at `angles`, hartree.
        converged: whether the minimiser's own tolerance was met.
        iterations: of the minimiser.
        evaluations: energies asked for, with or without slopes.
        gradient_norm: largest slope at the end, hartree/radian, where it is known.
    """

    angles: Array
    energy: float
    converged: bool
    iterations: int
    evaluations: int
    gradient_norm: float | None = None


class _Counter:
    """Counts energies and iterations, and passes the latter on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.evaluations = 0
        self.iterations = 0
        self.slope: float | None = None
        self.energies: dict[bytes, float] = {}

    def counted(self, energy: float, angles: Array, slopes: Array | None = None) -> float:
        self.evaluations += 1
        self.energies = {angles.tobytes(): energy}
        if slopes is not None:
            self.slope = float(np.abs(slopes).max(initial=0.0))
        return energy

    def iterated(self, angles: Array, energy: float) -> None:
        self.iterations += 1
        self._report(angles, energy, self.slope)


def by_gradient(
    name: str,
    function: Slopes,
    start: Array,
    max_iterations: int,
    report: Report,
    stiffness: Array | None = None,
) -> Found:
    """Minimises with exact slopes: `l-bfgs-b` or `slsqp`.

    Args:
        name: the minimiser's.
        function: energy (hartree) and slopes (hartree/radian) at some angles.
        start: first angles, shape (parameters,), radians.
        max_iterations: of the minimiser.
        report: hears each iteration.
        stiffness: about how fast each slope grows with its own angle, hartree/radian^2, shape (parameters,). Angles
            are stretched by its root, so that the energy curves alike along all of them: diagonal preconditioning
            (Nocedal and Wright, Numerical Optimization, 2nd ed., section 2.2, "Scaling").
    """
    from scipy.optimize import minimize

    stretch = np.ones(start.size) if stiffness is None else np.sqrt(np.maximum(stiffness, LEAST_STIFFNESS))
    counter = _Counter(report)
    best: dict[str, Any] = {}

    def evaluate(stretched: Array) -> tuple[float, Array]:
        angles = stretched / stretch
        energy, slopes = function(angles)
        counter.counted(energy, angles, slopes)
        best.update(angles=angles, energy=energy)
        return energy, slopes / stretch

    def after(stretched: Array) -> None:
        angles = stretched / stretch
        counter.iterated(angles, counter.energies.get(angles.tobytes(), best["energy"]))

    options: dict[str, Any] = {"maxiter": max_iterations}
    if name == "l-bfgs-b":
        options |= {"ftol": ENERGY_TOLERANCE, "gtol": GRADIENT_TOLERANCE, "maxfun": 100 * max_iterations}
    else:
        options |= {"ftol": SLSQP_TOLERANCE}
    search: Any = minimize
    ended = search(evaluate, start * stretch, jac=True, method=name.upper(), callback=after, options=options)
    slopes = np.atleast_1d(ended.jac)[: start.size] * stretch
    return Found(
        angles=np.asarray(ended.x) / stretch,
        energy=float(ended.fun),
        converged=bool(ended.success),
        iterations=counter.iterations,
        evaluations=counter.evaluations,
        gradient_norm=float(np.abs(slopes).max(initial=0.0)),
    )


def without_gradient(
    name: str, function: Energy, start: Array, max_iterations: int, report: Report, rng: np.random.Generator
) -> Found:
    """Minimises by energies alone: `cobyla` or `spsa`; the random numbers are those of `rng`."""
    if name == "spsa":
        return _spsa(function, start, max_iterations, report, rng)
    from scipy.optimize import minimize

    counter = _Counter(report)
    lowest: dict[str, Any] = {"energy": np.inf, "angles": start}

    def evaluate(angles: Array) -> float:
        energy = counter.counted(function(angles), angles)
        if energy < lowest["energy"]:
            lowest.update(energy=energy, angles=angles.copy())
        return energy

    ended = minimize(
        evaluate,
        start,
        method="COBYLA",
        callback=lambda _: counter.iterated(lowest["angles"], lowest["energy"]),
        options={"maxiter": max_iterations, "rhobeg": COBYLA_START, "tol": COBYLA_END},
    )
    return Found(
        angles=lowest["angles"],
        energy=float(lowest["energy"]),
        converged=bool(ended.success),
        iterations=counter.iterations,
        evaluations=counter.evaluations,
    )


def _spsa(function: Energy, start: Array, max_iterations: int, report: Report, rng: np.random.Generator) -> Found:
    """Two energies an iteration, at random simultaneous shifts of all angles; ends where the mean energy settles."""
    counter = _Counter(report)

    def slope(angles: Array, shift: float) -> tuple[Array, float]:
        signs = rng.choice((-1.0, 1.0), size=angles.size)
        ends = [counter.counted(function(angles + sign * shift * signs), angles) for sign in (1, -1)]
        return (ends[0] - ends[1]) / (2 * shift) * signs, (ends[0] + ends[1]) / 2

    angles = start.copy()
    stability = SPSA_STABILITY * max_iterations
    typical = float(np.mean([np.abs(slope(angles, SPSA_SHIFT)[0]).mean() for _ in range(SPSA_SAMPLES)]))
    gain = SPSA_FIRST_STEP * (1 + stability) ** SPSA_ALPHA / max(typical, 1e-10)
    energies: list[float] = []
    converged = False
    for k in range(1, max_iterations + 1):
        slopes, middle = slope(angles, SPSA_SHIFT / k**SPSA_GAMMA)
        angles = angles - gain / (stability + k) ** SPSA_ALPHA * slopes
        energies.append(middle)
        counter.iterated(angles, middle)
        if len(energies) >= 4 * SPSA_WINDOW:
            late, early = (np.mean(energies[-SPSA_WINDOW:]), np.mean(energies[-2 * SPSA_WINDOW : -SPSA_WINDOW]))
            converged = bool(abs(late - early) < SPSA_SETTLED)
            if converged:
                break
    energy = counter.counted(function(angles), angles)
    return Found(
        angles=angles,
        energy=energy,
        converged=converged,
        iterations=counter.iterations,
        evaluations=counter.evaluations,
    )
