"""The Hamiltonian over a product of alpha and beta strings, and its lowest states."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pyscf import ao2mo, lib
from pyscf.fci import cistring, direct_spin1, selected_ci, selected_ci_symm

from kanad_solvers import full_ci
from kanad_solvers.active_space import Window
from kanad_solvers.cost import SUBSPACE_VECTORS
from kanad_solvers.errors import TooLarge
from kanad_solvers.properties import Array
from kanad_solvers.run import Watch
from kanad_solvers.sampling import Strings, to_bits

WHOLE_DETERMINANTS = 400  # up to here a dense matrix is as fast as Davidson and cannot miss a root
GUESS_DETERMINANTS = 200
ENERGY_TOLERANCE = 1e-10  # hartree, change per cycle
MAX_CYCLES = 100
LEVEL_SHIFT = 1e-3  # keeps the preconditioner finite


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The lowest states over a product of strings.

    Attributes:
        strings: alpha and beta strings, ascending.
        energies: total energies, shape (n,), hartree.
        vectors: n CI matrices, each shape (na, nb).
        converged: whether every root met the tolerance.
    """

    strings: tuple[Strings, Strings]
    energies: Array
    vectors: list[Array]
    converged: bool

    def on(self, strings: tuple[Strings, Strings]) -> list[Array]:
        """The vectors over other strings: amplitudes of shared determinants kept, others zero."""
        rows = [
            np.intersect1d(old, new, return_indices=True)[1:] for old, new in zip(self.strings, strings, strict=True)
        ]
        moved = []
        for vector in self.vectors:
            target = np.zeros((len(strings[0]), len(strings[1])))
            target[np.ix_(rows[0][1], rows[1][1])] = vector[np.ix_(rows[0][0], rows[1][0])]
            moved.append(target)
        return moved


def refuse_size(size: int, memory_mb: float, advice: str) -> None:
    """Raises TooLarge when vectors over `size` determinants do not fit into the memory limit."""
    needed = size * 8 * SUBSPACE_VECTORS / 1e6
    if needed > memory_mb:
        raise TooLarge(
            f"a subspace of {size} determinants needs {needed:.0f} MB, the limit is {memory_mb} MB; {advice}",
            determinants=size,
            needed_mb=round(needed),
            limit_mb=memory_mb,
        )


class Subspace:
    """Product space of some strings in a window of orbitals."""

    def __init__(self, window: Window, strings: tuple[Strings, Strings]) -> None:
        for spin, electrons in zip(strings, window.nelec, strict=True):
            if (np.bitwise_count(spin) != electrons).any():
                # PySCF's C code would write past its arrays.
                raise ValueError(f"every string must hold {electrons} electrons")
        self.window, self.strings = window, strings
        self.shape = (len(strings[0]), len(strings[1]))
        self.size = self.shape[0] * self.shape[1]

    def lowest(self, count: int, guess: Solution | None, watch: Watch, tolerance: float = ENERGY_TOLERANCE) -> Solution:
        """The `count` lowest states.

        Args:
            count: at most `size`.
            guess: a solution over other strings to start from.
            tolerance: largest change of an energy in the last cycle, hartree.
        """
        if self.size <= WHOLE_DETERMINANTS:
            energies, vectors = np.linalg.eigh(self._matrix(np.arange(self.size)))
            found, converged = list(vectors.T[:count]), True
        else:
            energies, found, converged = self._davidson(count, guess, watch, tolerance)
        return Solution(
            strings=self.strings,
            energies=energies[:count] + self.window.core_energy,
            vectors=[vector.reshape(self.shape) for vector in found[:count]],
            converged=converged,
        )

    def _davidson(
        self, count: int, guess: Solution | None, watch: Watch, tolerance: float
    ) -> tuple[Array, list[Array], bool]:
        # The singlet ground state over equal strings is symmetric; keeping it so keeps triplets out.
        symmetric = count == 1 and np.array_equal(*self.strings)

        def apply(vectors: list[Array]) -> list[Array]:
            watch.check()
            images = [self._image(vector.reshape(self.shape)) for vector in vectors]
            if symmetric:
                images = [(image + image.T) / 2 for image in images]
            return [image.ravel() for image in images]

        guesses = self._guesses(count if count == 1 else count + 2, guess, symmetric)
        converged, energies, vectors = lib.davidson1(
            apply,
            guesses,
            lib.make_diag_precond(self._diagonal, LEVEL_SHIFT),
            tol=tolerance,
            max_cycle=MAX_CYCLES,
            nroots=len(guesses),
            max_memory=self.window.field.mol.max_memory,
            verbose=0,
        )
        return np.asarray(energies), list(vectors), bool(np.all(converged[:count]))

    def _image(self, vector: Array) -> Array:
        """H on a CI matrix, shape (na, nb): one dense product for each spin, and PySCF's loop between them by irreps.

        PySCF's own loop within a spin takes as long as that between spins; the dense matrix of one spin, no
        larger than the vector, is far cheaper.
        """
        window = self.window
        alpha, beta = self._one_spin
        image = alpha @ vector + vector @ beta
        if 0 in window.nelec:
            return image
        vector = np.ascontiguousarray(vector)
        integrals, links, sizes = self._by_irrep
        direct_spin1.libfci.SCIcontract_2e_bbaa_symm(
            _pointer(integrals),
            _pointer(vector),
            _pointer(image),
            ctypes.c_int(window.norb),
            ctypes.c_int(self.shape[0]),
            ctypes.c_int(self.shape[1]),
            ctypes.c_int(links[0].shape[1]),
            ctypes.c_int(links[1].shape[1]),
            _pointer(links[0]),
            _pointer(links[1]),
            _pointer(sizes),
            ctypes.c_int(len(sizes)),
        )
        return image

    def _guesses(self, count: int, guess: Solution | None, symmetric: bool) -> list[Array]:
        """Orthonormal start vectors: the given ones, then eigenvectors over the lowest determinants."""
        lowest = np.argsort(self._diagonal, kind="stable")[:GUESS_DETERMINANTS]
        columns = [] if guess is None else [vector.ravel() for vector in guess.on(self.strings)]
        for column in np.linalg.eigh(self._matrix(lowest))[1].T:
            vector = np.zeros(self.size)
            vector[lowest] = column
            columns.append(vector)
        return full_ci.start_vectors(columns, count, self.shape if symmetric else None)

    def _matrix(self, addresses: Any) -> Array:
        """The Hamiltonian over chosen determinants, dense, hartree."""
        rows, columns = np.divmod(addresses, self.shape[1])
        return self._dense(self.strings[0][rows], self.strings[1][columns], self._diagonal[addresses])

    def _dense(self, alpha: Strings, beta: Strings, diagonal: Array) -> Array:
        """The Hamiltonian over determinants (alpha[k], beta[k]), shape (n, n), hartree."""
        matrix = np.zeros((len(diagonal), len(diagonal)))
        alpha, beta = np.ascontiguousarray(alpha), np.ascontiguousarray(beta)
        one_body = np.ascontiguousarray(self.window.h1)
        # The C function of PySCF's `pspace`, which itself takes only a complete set of strings.
        direct_spin1.libfci.FCIpspace_h0tril(
            _pointer(matrix),
            _pointer(one_body),
            _pointer(self._integrals),
            _pointer(alpha),
            _pointer(beta),
            ctypes.c_int(self.window.norb),
            ctypes.c_int(len(diagonal)),
        )
        matrix = np.tril(matrix, -1)
        matrix += matrix.T
        matrix[np.diag_indices_from(matrix)] = diagonal
        return matrix

    @cached_property
    def _integrals(self) -> Array:
        """(pq|rs), shape (norb, norb, norb, norb), hartree."""
        return np.ascontiguousarray(ao2mo.restore(1, self.window.eri, self.window.norb))

    @cached_property
    def _by_irrep(self) -> tuple[Array, list[Any], Any]:
        """What stands between the spins, sorted by the irrep of orbital pairs so that only equal ones meet.

        Returns:
            (pq|rs) over pairs p >= q and r >= s, shape (npair, npair), hartree; which strings a^+_p a_q leads to, for
            alpha and for beta; how many pairs each irrep has.
        """
        norb = self.window.norb
        packed = np.ascontiguousarray(ao2mo.restore(4, self.window.eri, norb))
        irreps = np.zeros(norb, dtype=int) if self.window.orbsym is None else np.asarray(self.window.orbsym)
        links = []
        for strings, electrons in zip(self.strings, self.window.nelec, strict=True):
            made = selected_ci.cre_des_linkstr_tril(strings, norb, electrons)
            integrals, link, sizes = selected_ci_symm.reorder4irrep(packed, norb, made, irreps)
            links.append(np.ascontiguousarray(link))
        return integrals, links, sizes

    @cached_property
    def _own(self) -> tuple[Array, Array]:
        """Diagonal of the Hamiltonian within each spin, shapes (na,) and (nb,), hartree."""
        coulomb = np.einsum("iijj->ij", self._integrals)
        exchange = np.einsum("ijji->ij", self._integrals)
        made = [
            filled @ self.window.h1.diagonal()
            + np.einsum("ni,ij,nj->n", filled, coulomb - exchange, filled, optimize=True) / 2
            for filled in self._filled
        ]
        return made[0], made[1]

    @cached_property
    def _one_spin(self) -> tuple[Array, Array]:
        """The Hamiltonian within each spin, the other left out, shapes (na, na) and (nb, nb), hartree."""
        made = [
            self._dense(strings, np.zeros_like(strings), diagonal)
            for strings, diagonal in zip(self.strings, self._own, strict=True)
        ]
        return made[0], made[1]

    @cached_property
    def _filled(self) -> list[Array]:
        """Occupations of each string, shapes (na, norb) and (nb, norb), 0.0 or 1.0."""
        return [to_bits(strings, self.window.norb).astype(float) for strings in self.strings]

    @cached_property
    def _diagonal(self) -> Array:
        """<D|H|D> of every determinant, shape (na * nb,), hartree, without the core energy."""
        coulomb = np.einsum("iijj->ij", self._integrals)
        between = self._filled[0] @ coulomb @ self._filled[1].T
        return np.asarray((self._own[0][:, None] + self._own[1][None, :] + between).ravel())

    # Expectation values

    def rdm1(self, vector: Array) -> tuple[Array, Array]:
        """Alpha and beta one-body density matrices of a state, each shape (norb, norb)."""
        norb, nelec = self.window.norb, self.window.nelec
        if 0 in nelec:
            alpha, beta = direct_spin1.make_rdm1s(self._complete(vector), norb, nelec)
        else:
            alpha, beta = selected_ci.make_rdm1s(self._tagged(vector), norb, nelec)
        return np.asarray(alpha), np.asarray(beta)

    def transition(self, bra: Array, ket: Array) -> Array:
        """<bra|p^+ q|ket> summed over spin, shape (norb, norb)."""
        norb, nelec = self.window.norb, self.window.nelec
        if 0 in nelec:
            found = direct_spin1.trans_rdm1(self._complete(bra), self._complete(ket), norb, nelec)
        else:
            found = selected_ci.trans_rdm1(self._tagged(bra), self._tagged(ket), norb, nelec)
        return np.asarray(found)

    def apply_s_squared(self, vector: Array) -> Array:
        """S^2 on a state, projected back onto the subspace, shape (na, nb)."""
        norb, nelec = self.window.norb, self.window.nelec
        if 0 in nelec:
            half = sum(nelec) / 2
            return half * (half + 1) * vector
        return np.asarray(selected_ci.contract_ss(self._tagged(vector), norb, nelec))

    def _tagged(self, vector: Array) -> Any:
        """The vector as PySCF's selected-CI functions want it: a matrix that knows its strings."""
        tagged = vector.reshape(self.shape).view(selected_ci.SCIvector)
        tagged._strs = self.strings
        return tagged

    def _complete(self, vector: Array) -> Array:
        """The vector over all strings of the window, for PySCF functions that know no others."""
        norb, nelec = self.window.norb, self.window.nelec
        places = [cistring.strs2addr(norb, n, s) for n, s in zip(nelec, self.strings, strict=True)]
        complete = np.zeros([cistring.num_strings(norb, n) for n in nelec])
        complete[np.ix_(*places)] = vector
        return complete


def _pointer(array: Array | Strings) -> ctypes.c_void_p:
    """Address of a contiguous array, for C."""
    return array.ctypes.data_as(ctypes.c_void_p)
