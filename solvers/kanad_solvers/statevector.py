"""Unitary coupled cluster on an exact state vector: products of excitation rotations and their gradient.

The state lives in the determinants with the right number of electrons of each spin, not in all 2^(2 norb)
bitstrings. A rotation exp(theta (tau - tau^+)) of an excitation tau mixes each determinant with at most one
other: it is a plane rotation over pairs of indices, exact, without Trotter error inside the factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.properties import Array

Indices = NDArray[np.intp]
Single = tuple[int, int]  # (from, to), spatial orbitals

KEPT_INDEX_BYTES = 256_000_000  # picked: pairs of all rotations are kept up to here, and made anew above


@dataclass(frozen=True)
class Excitation:
    """A spin-orbital excitation: up to two electrons moved, each within its own spin.

    Attributes:
        alpha: (from, to) of each alpha electron.
        beta: the same for beta.
        parameter: which parameter turns it; mirror images in spin share one.
    """

    alpha: tuple[Single, ...]
    beta: tuple[Single, ...]
    parameter: int


def uccsd(
    norb: int, nelec: tuple[int, int], orbsym: NDArray[np.intp] | None = None, *, share_mirrored: bool = True
) -> tuple[list[Excitation], int]:
    """All single and double excitations out of the lowest determinant, and the number of parameters.

    Doubles come first: they act on the reference before the singles relax the orbitals. For equal numbers of
    both spins, mirror images share a parameter, which keeps a closed-shell state unpolarised. With `orbsym`
    (irreps of the orbitals, shape (norb,)) only totally symmetric excitations are made: the others vanish.
    """
    mirrored = share_mirrored and nelec[0] == nelec[1]
    occupied = [range(n) for n in nelec]
    virtual = [range(n, norb) for n in nelec]
    singles = [[(i, a) for i in occupied[s] for a in virtual[s]] for s in (0, 1)]
    doubles = [
        [((i, a), (j, b)) for i, j in combinations(occupied[s], 2) for a, b in combinations(virtual[s], 2)]
        for s in (0, 1)
    ]
    numbered: dict[object, int] = {}
    found: list[Excitation] = []

    def add(alpha: tuple[Single, ...], beta: tuple[Single, ...], *key: object) -> None:
        if is_symmetric((*alpha, *beta), orbsym):
            found.append(Excitation(alpha, beta, numbered.setdefault(key, len(numbered))))

    spin = 0 if mirrored else 1
    for ia in singles[0]:
        for jb in singles[1]:
            add((ia,), (jb,), "opposite", *(sorted((ia, jb)) if mirrored else (ia, jb)))
    for pair in doubles[0]:
        add(pair, (), "same", pair, 0)
    for pair in doubles[1]:
        add((), pair, "same", pair, spin)
    for ia in singles[0]:
        add((ia,), (), "single", ia, 0)
    for jb in singles[1]:
        add((), (jb,), "single", jb, spin)
    return found, len(numbered)


def is_symmetric(moves: Sequence[Single], orbsym: NDArray[np.intp] | None) -> bool:
    """Whether an excitation keeps the irreducible representation of the state it acts on."""
    if orbsym is None:
        return True
    product = 0
    for i, a in moves:
        product ^= int(orbsym[i]) ^ int(orbsym[a])
    return product == 0


def two_qubit_gates(norb: int, excitations: Sequence[Excitation]) -> int:
    """CNOT gates of the ansatz under Jordan-Wigner, each exponential of a Pauli string a staircase of CNOTs.

    Alpha qubits come first. A single excitation p -> q is 2 Pauli strings on q - p + 1 qubits, a double over
    p < q < r < s is 8 strings on (q - p + 1) + (s - r + 1) qubits; a string on w qubits takes 2 (w - 1) CNOTs
    (Romero et al., Quantum Sci. Technol. 4, 014008 (2019)). No gates are cancelled between neighbours, so a
    compiler finds fewer.
    """
    total = 0
    for excitation in excitations:
        ends = [q for pair in excitation.alpha for q in pair]
        ends += [q + norb for pair in excitation.beta for q in pair]
        ends.sort()
        weight = sum(high - low + 1 for low, high in zip(ends[::2], ends[1::2], strict=True))
        strings = 2 if len(ends) == 2 else 8
        total += strings * 2 * (weight - 1)
    return total


class Ansatz:
    """A product of excitation rotations on the lowest determinant.

    Vectors are flat, shape (na * nb,), alpha string slowest, strings ascending as integers (PySCF's order).
    """

    def __init__(self, norb: int, nelec: tuple[int, int], excitations: Sequence[Excitation]) -> None:
        self.norb, self.nelec = norb, nelec
        self.shape = (comb(norb, nelec[0]), comb(norb, nelec[1]))
        self.size = self.shape[0] * self.shape[1]
        self.excitations = list(excitations)
        self.parameters = 1 + max((e.parameter for e in excitations), default=-1)
        self._spins = (_Strings(norb, nelec[0]), _Strings(norb, nelec[1]))
        self._kept: dict[int, Indices] = {}
        self._kept_bytes = 0

    @property
    def strings(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Alpha and beta strings of the rows and columns of the CI matrix, ascending."""
        return self._spins[0].strings, self._spins[1].strings

    def reference(self) -> Array:
        """The determinant of the lowest orbitals, shape (na * nb,)."""
        vector = np.zeros(self.size)
        vector[0] = 1.0
        return vector

    def state(self, angles: Array, check: Callable[[], None] = lambda: None) -> Array:
        """U_m ... U_2 U_1 |reference>, normalised, shape (na * nb,).

        Args:
            angles: one per parameter, shape (parameters,), radians.
            check: called before each rotation; may raise to end the work.
        """
        vector = self.reference()
        for place, excitation in enumerate(self.excitations):
            angle = angles[excitation.parameter]
            if angle != 0.0:
                check()
                pairs = self._pairs_at(place)
                cosine, sine = np.cos(angle), np.sin(angle)
                vector[pairs] = np.array([[cosine, -sine], [sine, cosine]]) @ vector[pairs]
        return vector

    def gradient(self, angles: Array, vector: Array, image: Array) -> Array:
        """d<psi|H|psi>/d(angles) from psi = `state(angles)` and H psi, shape (parameters,), hartree/radian.

        One pass backwards through the product (adjoint differentiation: Jones and Gacon, arXiv:2009.02823).
        It costs as much as two more states, whatever the number of parameters.
        """
        both = np.stack((vector, image))
        slopes = np.zeros(self.parameters)
        for place in reversed(range(len(self.excitations))):
            parameter = self.excitations[place].parameter
            pairs = self._pairs_at(place)
            planes = both[:, pairs]  # (state or image, from or to, pair)
            slopes[parameter] += 2 * (planes[1, 1] @ planes[0, 0] - planes[1, 0] @ planes[0, 1])
            if angles[parameter] != 0.0:
                cosine, sine = np.cos(angles[parameter]), np.sin(angles[parameter])
                both[:, pairs] = np.array([[cosine, sine], [-sine, cosine]]) @ planes
        return slopes

    def slopes_at(self, vector: Array, image: Array) -> Array:
        """d<psi|H|psi>/d(angle) of each excitation if it came last with angle zero, from psi and H psi.

        Shape (excitations,), hartree/radian.
        """
        slopes = np.zeros(len(self.excitations))
        for place in range(len(self.excitations)):
            source, target = self._pairs_at(place)
            slopes[place] = 2 * (image[target] @ vector[source] - image[source] @ vector[target])
        return slopes

    def stiffness(self, diagonal: Array) -> Array:
        """d2<psi|H|psi>/d(angle)^2 at angles of zero, shape (parameters,), hartree/radian^2.

        Args:
            diagonal: of H, shape (na * nb,), hartree. Couplings between determinants are left out.
        """
        made = np.zeros(self.parameters)
        for place, excitation in enumerate(self.excitations):
            source, target = self._pairs_at(place)
            reached = np.concatenate((target[source == 0], source[target == 0]))
            made[excitation.parameter] += 2 * (diagonal[reached] - diagonal[0]).sum()
        return made

    def excited(self, vector: Array, place: int) -> Array:
        """tau|vector> for one excitation (not its rotation), shape (na * nb,)."""
        excitation = self.excitations[place]
        rows = self._spins[0].moves(excitation.alpha)
        columns = self._spins[1].moves(excitation.beta)
        made = np.zeros(self.shape)
        signs = rows[2][:, None] * columns[2][None, :]
        made[np.ix_(rows[1], columns[1])] = signs * vector.reshape(self.shape)[np.ix_(rows[0], columns[0])]
        return made.ravel()

    def _pairs_at(self, place: int) -> Indices:
        """Indices that a rotation mixes, shape (2, pairs); a positive angle moves row 0 into row 1."""
        kept = self._kept.get(place)
        if kept is None:
            kept = self._pairs(self.excitations[place])
            self._kept_bytes += kept.nbytes
            if self._kept_bytes <= KEPT_INDEX_BYTES:
                self._kept[place] = kept
        return kept

    def _pairs(self, excitation: Excitation) -> Indices:
        rows = self._spins[0].moves(excitation.alpha)
        columns = self._spins[1].moves(excitation.beta)
        source = (rows[0][:, None] * self.shape[1] + columns[0][None, :]).ravel()
        target = (rows[1][:, None] * self.shape[1] + columns[1][None, :]).ravel()
        # A pair with sign -1 is one with sign +1 that flows the other way.
        flip = (rows[2][:, None] * columns[2][None, :]).ravel() < 0
        return np.array((np.where(flip, target, source), np.where(flip, source, target)))


class _Strings:
    """Occupation strings of one spin, and what excitations do to them."""

    def __init__(self, norb: int, electrons: int) -> None:
        self.strings = np.sort(
            np.fromiter(
                (sum(1 << p for p in chosen) for chosen in combinations(range(norb), electrons)),
                dtype=np.int64,
                count=comb(norb, electrons),
            )
        )

    def moves(self, singles: tuple[Single, ...]) -> tuple[Indices, Indices, Indices]:
        """Indices of the strings that can be excited, of what they become, and the signs.

        The operator is a^+_a a_i for one pair, a^+_a a_i a^+_b a_j for two, and the identity for none.
        """
        strings = self.strings
        source = np.arange(len(strings))
        for i, a in singles:
            held = (strings[source] >> i) & ~(strings[source] >> a) & 1
            source = source[held.astype(bool)]
        target = strings[source]
        signs = np.ones(len(source), dtype=np.intp)
        for i, a in reversed(singles):
            between = ((1 << max(i, a)) - 1) & ~((1 << (min(i, a) + 1)) - 1)
            signs *= 1 - 2 * (np.bitwise_count(target & between).astype(np.intp) & 1)
            target = target ^ ((1 << i) | (1 << a))
        return source, np.searchsorted(strings, target), signs
