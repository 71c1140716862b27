"""Energies as a device gives them: averages over measurements, in bases in which parts of the Hamiltonian are diagonal.

The two-body integrals are factorised, (pq|rs) = sum_l L^l_pq L^l_rs, and each L^l is diagonalised by a rotation of the
orbitals (Huggins et al., npj Quantum Inf. 7, 23 (2021)); so a few orbital rotations, and not thousands of Pauli
strings, are measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.fci import addons, cistring

from kanad_solvers.active_space import Window
from kanad_solvers.properties import Array

LEAST_FACTOR = 1e-9  # eigenvalues of the two-body integrals below are left out; the rest is kept


@dataclass(frozen=True, kw_only=True)
class _Basis:
    """One measured basis: orbitals, shape (norb, norb), and the value of each outcome, shape (na, nb), hartree."""

    orbitals: Array
    values: Array
    spread: float


class Measurement:
    """Estimates of <H> from `shots` measurements in all, drawn with `rng`."""

    def __init__(self, window: Window, shots: int, rng: np.random.Generator) -> None:
        self._window, self._shots, self._rng = window, shots, rng
        self._bases = _bases(window)
        spreads = np.array([basis.spread for basis in self._bases])
        share = spreads / spreads.sum() if spreads.sum() > 0 else np.full(len(spreads), 1 / len(spreads))
        self._each = np.maximum((share * shots).astype(int), 1)

    def estimate(self, vector: NDArray[Any]) -> tuple[float, float]:
        """Energy and its standard error, hartree, of a real or complex state, shape (na, nb)."""
        energy, variance = self._window.core_energy, 0.0
        for basis, count in zip(self._bases, self._each, strict=True):
            weights = self._outcomes(vector, basis.orbitals)
            drawn = self._rng.multinomial(count, weights / weights.sum()) / count
            values = basis.values.ravel()
            mean = float(drawn @ values)
            energy += mean
            # The spread of the distribution stands in for that of the sample: one shot has none.
            variance += float(weights @ (values - weights @ values) ** 2) / count
        return energy, float(np.sqrt(variance))

    def _outcomes(self, vector: NDArray[Any], orbitals: Array) -> Array:
        """Probability of each determinant over the rotated orbitals, shape (na * nb,)."""
        window = self._window
        parts = [vector.real, vector.imag] if np.iscomplexobj(vector) else [vector]
        total = np.zeros(vector.size)
        for part in parts:
            rotated = addons.transform_ci(np.ascontiguousarray(part), window.nelec, orbitals)
            total += np.asarray(rotated).ravel() ** 2
        return total


def _bases(window: Window) -> list[_Basis]:
    """The one-body part and every factor of the two-body part."""
    norb = window.norb
    integrals = ao2mo.restore(1, window.eri, norb)
    one_body = window.h1 - np.einsum("prrq->pq", integrals) / 2
    filled = [_occupations(norb, n) for n in window.nelec]
    levels, orbitals = np.linalg.eigh(one_body)
    made = [_basis(orbitals, _linear(filled, levels))]
    factors, vectors = np.linalg.eigh(integrals.reshape(norb**2, norb**2))
    for factor, vector in zip(factors, vectors.T, strict=True):
        if abs(factor) < LEAST_FACTOR:
            continue
        matrix = vector.reshape(norb, norb)
        charges, orbitals = np.linalg.eigh((matrix + matrix.T) / 2)
        made.append(_basis(orbitals, factor / 2 * _linear(filled, charges) ** 2))
    return made


def _basis(orbitals: Array, values: Array) -> _Basis:
    return _Basis(orbitals=orbitals, values=values, spread=float(np.ptp(values)))


def _linear(filled: list[Array], levels: Array) -> Array:
    """sum_p levels_p n_p for every determinant, shape (na, nb)."""
    alpha, beta = (occupations @ levels for occupations in filled)
    return np.asarray(alpha[:, None] + beta[None, :])


def _occupations(norb: int, electrons: int) -> Array:
    strings = cistring.make_strings(range(norb), electrons)
    return (np.asarray(strings)[:, None] >> np.arange(norb) & 1).astype(float)
