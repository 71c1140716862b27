"""Point-group symmetry of orbitals: D2h and its subgroups, whose irreducible representations multiply by XOR."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.properties import Array

DEGENERATE_HARTREE = 1e-5
ABELIAN_OF_LINEAR = {"Dooh": "D2h", "Coov": "C2v", "SO3": "D2h"}


def adapt(mol: Any, orbitals: Array, energies: Array, overlap: Array) -> tuple[Array, NDArray[np.intp]] | None:
    """Orbitals turned within degenerate sets so that each has one irreducible representation.

    Args:
        orbitals: shape (nao, nmo).
        energies: of the orbitals, shape (nmo,), hartree; only neighbours of equal energy are turned.
        overlap: AO overlap, shape (nao, nao).

    Returns:
        Orbitals and their irreps (PySCF's ids of D2h and subgroups, shape (nmo,)); None where the molecule or
        its orbitals have no symmetry.
    """
    symmetric = _symmetric(mol)
    if symmetric is None:
        return None
    blocks = [np.asarray(block) for block in symmetric.symm_orb]
    turned, irreps = orbitals.copy(), np.empty(orbitals.shape[1], dtype=np.intp)
    start = 0
    while start < len(energies):
        stop = start + 1
        while stop < len(energies) and abs(energies[stop] - energies[stop - 1]) < DEGENERATE_HARTREE:
            stop += 1
        split = _split(orbitals[:, start:stop], blocks, overlap)
        if split is None:
            return None
        turned[:, start:stop] = split[0]
        irreps[start:stop] = [symmetric.irrep_id[place] for place in split[1]]
        start = stop
    return turned, irreps


def _symmetric(mol: Any) -> Any:
    """A copy of the molecule that knows its abelian point group; None for C1."""
    from pyscf import symm

    group = symm.detect_symm(mol._atom, mol._basis)[0]
    if group == "C1":
        return None
    copy = mol.copy()
    copy.symmetry = True
    copy.symmetry_subgroup = ABELIAN_OF_LINEAR.get(group)
    copy.build(dump_input=False, parse_arg=False)
    return None if copy.groupname == "C1" else copy


def _split(space: Array, blocks: list[Array], overlap: Array) -> tuple[Array, list[int]] | None:
    """A degenerate space as functions of one irrep each, with the places of the irreps; None if it is mixed."""
    parts: list[Array] = []
    places: list[int] = []
    for place, block in enumerate(blocks):
        metric = block.T @ overlap @ block
        inside = block.T @ overlap @ space
        weights, vectors = np.linalg.eigh(inside.T @ np.linalg.solve(metric, inside))
        if np.any((weights > 1e-4) & (weights < 1 - 1e-4)):
            return None
        chosen = vectors[:, weights > 0.5]
        parts.append(space @ chosen)
        places += [place] * chosen.shape[1]
    if len(places) != space.shape[1]:
        return None
    return np.hstack(parts), places
