"""Bitstrings for sample-based diagonalisation: where they come from, noise, recovery and batches.

A bitstring is a pair of integers, alpha and beta; bit p says whether spatial orbital p is occupied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.errors import InvalidSpec
from kanad_solvers.properties import Array

Strings: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.bool_]

WIDEST_ORBITALS = 62  # a string of one spin must fit into a signed 64-bit integer
FLAT_FLIP = 0.01  # weight of a bit at the filling fraction; the value of Robledo-Moreno et al.
LEAST_FLIP = 1e-12  # bits that must not flip still may, where the particle number cannot be met without them
CHUNK = 100_000  # strings that get noise at a time: bounds memory at 10 million samples


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Different bitstrings with their weights.

    Attributes:
        norb: bits per spin.
        alpha: shape (n,).
        beta: shape (n,).
        weights: how often each was seen, shape (n,), summing to 1.
    """

    norb: int
    alpha: Strings
    beta: Strings
    weights: Array

    def __len__(self) -> int:
        return len(self.alpha)

    def fraction(self, nelec: tuple[int, int]) -> float:
        """Weight of those with the right number of electrons of each spin, 0 to 1."""
        return float(self.weights[self._right(nelec)].sum())

    def with_electrons(self, nelec: tuple[int, int]) -> Samples:
        """Those with the right number of electrons of each spin (postselection); may be empty."""
        right = self._right(nelec)
        weights = self.weights[right]
        total = weights.sum()
        return Samples(
            norb=self.norb,
            alpha=self.alpha[right],
            beta=self.beta[right],
            weights=weights / total if total > 0 else weights,
        )

    def _right(self, nelec: tuple[int, int]) -> Bits:
        """Which have the right number of electrons of each spin, shape (n,)."""
        return np.asarray((np.bitwise_count(self.alpha) == nelec[0]) & (np.bitwise_count(self.beta) == nelec[1]))


def gather(norb: int, alpha: Strings, beta: Strings, weights: Array | None = None) -> Samples:
    """Samples without repeats; `weights` of equal ones are added, and are 1 each where left out."""
    pairs, place = np.unique(np.stack((alpha, beta), axis=1), axis=0, return_inverse=True)
    added = np.bincount(place.ravel(), weights=weights, minlength=len(pairs)).astype(float)
    return Samples(norb=norb, alpha=pairs[:, 0], beta=pairs[:, 1], weights=added / added.sum())


def merge(parts: Sequence[Samples]) -> Samples:
    """All samples together, each part with the same weight."""
    alpha, beta = (np.concatenate([getattr(part, spin) for part in parts]) for spin in ("alpha", "beta"))
    return gather(parts[0].norb, alpha, beta, np.concatenate([part.weights for part in parts]))


# Sources


def from_state(
    vector: NDArray[np.inexact[Any]], strings: tuple[Strings, Strings], norb: int, count: int, rng: np.random.Generator
) -> Samples:
    """`count` measurements of a state in the computational basis.

    Args:
        vector: real or complex amplitudes, shape (na, nb), normalised.
        strings: alpha and beta strings of the rows and columns.
    """
    cumulative = np.cumsum(np.abs(vector.ravel()) ** 2)
    drawn = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    rows, columns = np.divmod(drawn, vector.shape[1])
    return gather(norb, strings[0][rows], strings[1][columns])


def uniform(norb: int, count: int, rng: np.random.Generator) -> Samples:
    """`count` strings of fair random bits: most have the wrong number of electrons."""
    return gather(norb, rng.integers(0, 1 << norb, count), rng.integers(0, 1 << norb, count))


def from_counts(counts: Mapping[str, int], norb: int) -> Samples:
    """Measured bitstrings: beta orbitals left, alpha orbitals right, highest orbital first.

    Raises:
        InvalidSpec: a key is not 2 norb characters of 0 and 1.
    """
    for key in counts:
        if len(key) != 2 * norb or set(key) - {"0", "1"}:
            raise InvalidSpec.at(
                "$.method.counts",
                f"keys must be {2 * norb} characters of 0 and 1, got {key[:80]!r} ({len(key)})",
            )
    alpha = np.array([int(key[norb:], 2) for key in counts], dtype=np.int64)
    beta = np.array([int(key[:norb], 2) for key in counts], dtype=np.int64)
    return gather(norb, alpha, beta, np.array(list(counts.values()), dtype=float))


def with_noise(samples: Samples, count: int, probability: float, rng: np.random.Generator) -> Samples:
    """`count` readings of the samples in which each bit is flipped with `probability`."""
    if probability == 0:
        return samples
    drawn = rng.choice(len(samples), size=count, p=samples.weights)
    spins = []
    for strings in (samples.alpha, samples.beta):
        flipped = [
            np.bitwise_xor(part, to_strings(rng.random((len(part), samples.norb)) < probability))
            for part in np.array_split(strings[drawn], -(-count // CHUNK))
        ]
        spins.append(np.concatenate(flipped))
    return gather(samples.norb, spins[0], spins[1])


# Recovery


def recover(
    samples: Samples, nelec: tuple[int, int], occupancies: tuple[Array, Array], rng: np.random.Generator
) -> Samples:
    """Configuration recovery: flips bits until every string has the right number of electrons of each spin.

    Bits that disagree with the average occupancies are likelier to flip (Robledo-Moreno et al., Sci. Adv. 11,
    eadu9991 (2025)).

    Args:
        occupancies: mean occupation of each orbital, alpha and beta, each shape (norb,), 0 to 1.
    """
    alpha = _recover_spin(samples.alpha, samples.norb, nelec[0], occupancies[0], rng)
    beta = _recover_spin(samples.beta, samples.norb, nelec[1], occupancies[1], rng)
    return gather(samples.norb, alpha, beta, samples.weights)


def _recover_spin(strings: Strings, norb: int, electrons: int, occupancies: Array, rng: np.random.Generator) -> Strings:
    bits = to_bits(strings, norb)
    excess = bits.sum(axis=1) - electrons
    wrong = np.flatnonzero(excess)
    if not wrong.size:
        return strings
    bits, excess = bits[wrong], excess[wrong]
    weights = np.maximum(flip_weights(bits, occupancies, electrons / norb), LEAST_FLIP)
    # An exponential race: the k smallest of u / w are k draws by weight without replacement.
    race = rng.exponential(size=bits.shape) / weights
    race[bits != (excess > 0)[:, None]] = np.inf  # too many electrons: only ones flip; too few: only zeros
    order = np.argsort(np.argsort(race, axis=1, kind="stable"), axis=1, kind="stable")
    recovered = strings.copy()
    recovered[wrong] = to_strings(bits ^ (order < np.abs(excess)[:, None]))
    return recovered


def flip_weights(bits: Bits, occupancies: Array, filling: float) -> Array:
    """Weight of flipping each bit, shape (n, norb): piecewise linear in y = |bit - occupancy|.

    delta y / h up to the filling fraction h, and from there linear to 1 at y = 1.
    """
    distance = np.abs(bits - np.clip(occupancies, 0, 1))
    below = FLAT_FLIP * distance / filling if filling > 0 else np.zeros_like(distance)
    above = FLAT_FLIP + (1 - FLAT_FLIP) * (distance - filling) / max(1 - filling, LEAST_FLIP)
    return np.asarray(np.where(distance <= filling, below, above))


# Batches


def batches(samples: Samples, size: int, number: int, rng: np.random.Generator) -> list[Samples]:
    """`number` draws of `size` different samples, by weight; all of them at once where there are no more."""
    if len(samples) <= size:
        return [samples]
    drawn = [
        rng.choice(len(samples), size=size, replace=False, p=samples.weights, shuffle=False) for _ in range(number)
    ]
    return [
        Samples(
            norb=samples.norb,
            alpha=samples.alpha[rows],
            beta=samples.beta[rows],
            weights=samples.weights[rows],
        )
        for rows in drawn
    ]


def lowest_strings(norb: int, electrons: int, count: int) -> Strings:
    """The first `count` strings with that many electrons, ascending: first that of Hartree-Fock."""
    found: list[int] = []
    string = (1 << electrons) - 1
    while len(found) < count and string < 1 << norb:
        found.append(string)
        if string == 0:
            break
        # The next larger integer with as many bits (Gosper): move the lowest run of ones up by one.
        low = string & -string
        ripple = string + low
        string = ripple | (((string ^ ripple) >> 2) // low)
    return np.array(found, dtype=np.int64)


def all_strings(norb: int, nelec: tuple[int, int]) -> tuple[Strings, Strings]:
    """Every alpha and every beta string, ascending: the rows and columns of a CI matrix."""
    alpha, beta = (lowest_strings(norb, n, comb(norb, n)) for n in nelec)
    return alpha, beta


def to_bits(strings: Strings, norb: int) -> Bits:
    """Bits of each string, lowest orbital first, shape (n, norb)."""
    return (strings[:, None] >> np.arange(norb) & 1).astype(bool)


def to_strings(bits: Bits) -> Strings:
    """The inverse of `to_bits`, shape (n,)."""
    return np.asarray(bits @ (np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)), dtype=np.int64)
