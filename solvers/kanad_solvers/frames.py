"""Amplitudes in the orbitals of another geometry.

Canonical orbitals change sign, mix where they are degenerate and cross in energy along a path, and amplitudes change
with them. A frame holds the orbitals that amplitudes belong to, in orthogonalised atomic orbitals, S^1/2 C; amplitudes
are turned from one frame to another by the orthogonal matrices, one for the occupied and one for the empty orbitals,
that bring the two frames nearest to each other (Schoenemann, Psychometrika 31, 1 (1966)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kanad_solvers.properties import Array

LEAST_OVERLAP = 1e-10
FRAME = "frame"
SPINS = {"t1": "a", "t2": "aa", "t1a": "a", "t1b": "b", "t2aa": "aa", "t2ab": "ab", "t2bb": "bb"}


def power(matrix: Array, exponent: float) -> Array:
    """A real power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, LEAST_OVERLAP) ** exponent) @ vectors.T)


def frame(mol: Any, orbitals: Array | list[Array]) -> Array:
    """S^1/2 C of the correlated orbitals of both spins, shape (2, nao, norb), short ones padded with zeros."""
    root = power(mol.intor_symmetric("int1e_ovlp"), 0.5) if mol.natm else np.eye(mol.nao)
    both = [orbitals, orbitals] if isinstance(orbitals, np.ndarray) and orbitals.ndim == 2 else orbitals
    made = np.zeros((2, root.shape[0], max(part.shape[1] for part in both)))
    for spin, part in enumerate(both):
        made[spin, :, : part.shape[1]] = root @ part
    return made


def turned(kept: Mapping[str, Array], target: Array) -> dict[str, Array]:
    """Amplitudes (t1, t2 of one spin or of both) in the orbitals of `target`, with `target` as their frame.

    Args:
        kept: arrays by name, with their frame.
        target: what `frame` gave for the new orbitals, of the same shape.
    """
    turns = {
        spin: _turns(kept[FRAME][place], target[place], kept.get(f"t1{spin}", kept.get("t1")))
        for place, spin in enumerate("ab")
    }
    made = {FRAME: target}
    for name, tensor in kept.items():
        if name in SPINS:
            spins = SPINS[name]
            for axis, matrix in enumerate([turns[s][0] for s in spins] + [turns[s][1] for s in spins]):
                tensor = np.moveaxis(np.tensordot(tensor, matrix, (axis, 0)), -1, axis)
            made[name] = tensor
    return made


def _turns(old: Array, new: Array, t1: Any) -> tuple[Array, Array]:
    """Matrices U, shape (n, n), of the occupied and of the empty orbitals, such that old @ U is nearest to new."""
    nocc, nvir = t1.shape
    parts = (slice(0, nocc), slice(nocc, nocc + nvir))
    occupied, empty = (_nearest(old[:, part].T @ new[:, part]) for part in parts)
    return occupied, empty


def _nearest(matrix: Array) -> Array:
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)
