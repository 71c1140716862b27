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


class Path:
    """The last points of a scan, and what they say of the next."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._orbitals: list[tuple[Array, Array]] = []
        self._amplitudes: dict[str, list[dict[str, Array]]] = {name: [] for name in AMPLITUDES}

    def note(self, value: float, field: Any, memory: Memory) -> None:
        """Takes in a point that is done: the coordinate, the PySCF field and what the solvers kept."""
        if field is None or getattr(field, "mo_occ", None) is None:
            return
        roots = power(field.mol.intor_symmetric("int1e_ovlp"), 0.5)
        self._values.append(value)
        self._orbitals.append((roots @ np.asarray(field.mo_coeff), np.asarray(field.mo_occ)))
        for name, kept in self._amplitudes.items():
            kept.append({key: np.asarray(array) for key, array in (memory.recall(name) or {}).items()})
            del kept[:-NODES]
        del self._values[:-NODES], self._orbitals[:-NODES]

    def prepare(self, value: float, memory: Memory) -> None:
        """Puts the continued orbitals and amplitudes where the solvers look for a start."""
        weights = self._weights(value)
        if weights is None:
            return
        kept = memory.recall("scf")
        blocks = [part[0] for part in self._orbitals]
        if kept is not None and len({block.shape for block in blocks}) == 1:
            guess = self._continued(blocks, weights)
            memory.keep("scf", **{**kept, "mo_coeff": blocks[-1], "orthogonal": guess})
        for name, points in self._amplitudes.items():
            shapes = {tuple((key, array.shape) for key, array in point.items()) for point in points}
            if len(shapes) == 1 and frames.FRAME in points[-1]:
                target = points[-1][frames.FRAME]
                turned = [frames.turned(point, target) for point in points]
                summed = {
                    key: sum(w * point[key] for w, point in zip(weights, turned, strict=True)) for key in turned[0]
                }
                memory.keep(name, **{**summed, frames.FRAME: target})

    def _weights(self, value: float) -> Array | None:
        """Lagrange weights of the last points at a new value; None where they say nothing."""
        x = np.array(self._values)
        if len(x) < 2 or len(set(self._values)) < len(x):
            return None
        if abs(value - x[-1]) > FARTHEST_STEP * abs(x[-1] - x[-2]):
            return None
        return np.array([np.prod((value - np.delete(x, i)) / (x[i] - np.delete(x, i))) for i in range(len(x))])

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
