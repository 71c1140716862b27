"""Starts for the next point of a path: orbitals and amplitudes of the last points, continued by a polynomial.

Orbitals are continued in orthogonalised atomic orbitals, aligned and made orthonormal again (in the spirit of Polack
et al., Mol. Phys. 118, e1779834 (2020)).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kanad_solvers import frames
from kanad_solvers.frames import power
from kanad_solvers.memory import Memory
from kanad_solvers.properties import Array

NODES = 5
FARTHEST_STEP = 1.5  # a step longer than this times the last one is not extrapolated over
AMPLITUDES = ("ccsd", "vqe")
Amplitudes = dict[str, Array]
Point = tuple[float, Amplitudes]


class Path:
    """The last points of a scan, and what they say of the next."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._orbitals: list[tuple[Array, Array]] = []
        self._amplitudes: dict[str, list[Point]] = {name: [] for name in AMPLITUDES}

    def note(self, value: float, field: Any, memory: Memory) -> None:
        """Takes in a point that is done: the coordinate, the PySCF field and what the solvers kept."""
        if field is None or getattr(field, "mo_occ", None) is None:
            return
        roots = power(field.mol.intor_symmetric("int1e_ovlp"), 0.5)
        self._values.append(value)
        self._orbitals.append((roots @ np.asarray(field.mo_coeff), np.asarray(field.mo_occ)))
        del self._values[:-NODES], self._orbitals[:-NODES]
        for name, points in self._amplitudes.items():
            point = {key: np.asarray(array) for key, array in (memory.recall(name) or {}).items()}
            self._amplitudes[name] = [*_foretelling(points, value, point), (value, point)][-NODES:]

    def prepare(self, value: float, memory: Memory) -> None:
        """Puts the continued orbitals and amplitudes where the solvers look for a start."""
        if not self._reaches(value):
            return
        kept = memory.recall("scf")
        blocks = [part[0] for part in self._orbitals]
        if kept is not None and len({block.shape for block in blocks}) == 1:
            guess = self._continued(blocks, _weights(self._values, value))
            memory.keep("scf", **{**kept, "mo_coeff": blocks[-1], "orthogonal": guess})
        for name, points in self._amplitudes.items():
            if frames.FRAME in points[-1][1]:
                memory.keep(name, **_continued_amplitudes(points, value))

    def _reaches(self, value: float) -> bool:
        """Whether the last points say anything of a new value."""
        x = self._values
        if len(x) < 2 or len(set(x)) < len(x):
            return False
        return abs(value - x[-1]) <= FARTHEST_STEP * abs(x[-1] - x[-2])

    def _continued(self, blocks: list[Array], weights: Array) -> Array:
        """Orbitals at the new point, orthonormal, shape of the last ones; the empty ones are the last point's."""
        last, occupations = self._orbitals[-1]
        sets = [(last, occupations)] if last.ndim == 2 else list(zip(last, occupations, strict=True))
        made = []
        for spin, (orbitals, filled) in enumerate(sets):
            guess = orbitals.copy()
            for number in np.unique(filled[filled > 0]):
                chosen = np.flatnonzero(filled == number)
                points = [block if block.ndim == 2 else block[spin] for block in blocks]
                guess[:, chosen] = _average([point[:, chosen] for point in points], weights)
            made.append(guess)
        return np.array(made) if last.ndim == 3 else made[0]


def _average(spaces: list[Array], weights: Array) -> Array:
    """A weighted sum of orthonormal columns, each space turned to be near the last one, made orthonormal."""
    last = spaces[-1]
    total = np.zeros_like(last)
    for space, weight in zip(spaces, weights, strict=True):
        left, _, right = np.linalg.svd(space.T @ last)
        total += weight * space @ left @ right
    left, _, right = np.linalg.svd(total, full_matrices=False)
    return np.asarray(left @ right)


def _weights(values: list[float], value: float) -> Array:
    """Lagrange weights of points at a new value."""
    x = np.array(values)
    return np.array([np.prod((value - np.delete(x, i)) / (x[i] - np.delete(x, i))) for i in range(len(x))])


def _continued_amplitudes(points: list[Point], value: float) -> Amplitudes:
    """Amplitudes at a new value, in the frame that the points share."""
    weights = _weights([x for x, _ in points], value)
    last = points[-1][1]
    summed = {key: sum(w * point[key] for w, (_, point) in zip(weights, points, strict=True)) for key in last}
    return summed | {frames.FRAME: last[frames.FRAME]}


def _shapes(point: Amplitudes) -> dict[str, tuple[int, ...]]:
    return {key: array.shape for key, array in point.items()}


def _foretelling(points: list[Point], value: float, found: Amplitudes) -> list[Point]:
    """As many of the last points as foretold best what was found, turned into its frame.

    Where orbitals cross, the order of an ansatz's rotations changes, and its angles jump: what lies behind foretells
    nothing.
    """
    if frames.FRAME not in found or any(_shapes(point) != _shapes(found) for _, point in points):
        return []
    turned = [(x, frames.turned(point, found[frames.FRAME])) for x, point in points]

    def error(last: list[Point]) -> float:
        foretold = _continued_amplitudes(last, value)
        return sum(float(np.sum((foretold[key] - found[key]) ** 2)) for key in found)

    return min((turned[place:] for place in reversed(range(len(turned)))), key=error, default=[])
