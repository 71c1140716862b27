"""The full-CI Hamiltonian within one irreducible representation: up to eight times fewer determinants."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf.fci import cistring, direct_spin1, direct_spin1_symm

from kanad_solvers.active_space import Window
from kanad_solvers.properties import Array

IRREPS = 8


class SymmetricSpace:
    """Determinants of one sector sorted by irrep, and the Hamiltonian over those of one."""

    def __init__(self, window: Window, nelec: tuple[int, int], absorbed: Array, links: tuple[Any, Any]) -> None:
        assert window.orbsym is not None
        self._norb = window.norb
        orbsym = np.asarray(window.orbsym)
        blocks, rank, irrep_of_pair = direct_spin1_symm.reorder_eri(absorbed, window.norb, orbsym)
        self._sizes = np.array([block.shape[0] for block in blocks], dtype=np.int32)
        self._integrals = np.hstack([block.ravel() for block in blocks])
        made = []
        for electrons, link in zip(nelec, links, strict=True):
            strings = cistring.gen_strings4orblist(range(window.norb), electrons)
            made.append(direct_spin1_symm.gen_str_irrep(strings, orbsym, link, rank, irrep_of_pair))
        self._places: list[list[Any]] = [_padded(places) for places, _ in made]
        self._links = [link for _, link in made]
        self._link_sizes = [link.shape[1] for link in links]
        self._string_irreps = [_irreps_of(places) for places in self._places]
        self._columns = cistring.num_strings(window.norb, nelec[1])

    def addresses(self, irrep: int) -> NDArray[np.intp]:
        """Places of an irrep's determinants in the whole CI vector, in the order that `image` takes them."""
        alpha, beta = self._places
        parts = [
            (alpha[k][:, None] * self._columns + beta[irrep ^ k][None, :]).ravel()
            for k in range(IRREPS)
            if alpha[k].size and beta[irrep ^ k].size
        ]
        return np.concatenate(parts).astype(np.intp) if parts else np.empty(0, dtype=np.intp)

    def irreps(self, address: NDArray[np.intp]) -> NDArray[np.intp]:
        """The irreducible representation of each determinant, shape of `address`."""
        rows, columns = np.divmod(address, self._columns)
        return np.asarray(self._string_irreps[0][rows] ^ self._string_irreps[1][columns])

    def image(self, vector: Array, irrep: int) -> Array:
        """H on a vector over `addresses(irrep)`."""
        alpha, beta = self._places
        sizes = np.array([alpha[k].size * beta[irrep ^ k].size for k in range(self._irreps)], dtype=np.int32)
        vector = np.ascontiguousarray(vector)
        result = np.zeros_like(vector)
        counts = [np.array([p.size for p in places[: self._irreps]], dtype=np.int32) for places in self._places]
        direct_spin1.libfci.FCIcontract_2e_symm1(
            *(
                array.ctypes.data_as(ctypes.c_void_p)
                for array in (self._integrals, vector, result, self._sizes, sizes, *counts, *self._links)
            ),
            ctypes.c_int(self._norb),
            ctypes.c_int(self._link_sizes[0]),
            ctypes.c_int(self._link_sizes[1]),
            ctypes.c_int(self._irreps),
            ctypes.c_int(irrep),
        )
        return result

    @property
    def _irreps(self) -> int:
        return len(self._sizes)


def _padded(places: list[Any]) -> list[Any]:
    """Always eight lists; absent irreps are empty."""
    return [*places, *([np.empty(0, dtype=np.int32)] * (IRREPS - len(places)))]


def _irreps_of(places: list[Any]) -> NDArray[np.intp]:
    """Irrep of each string, from the strings of each irrep."""
    irreps = np.empty(sum(part.size for part in places), dtype=np.intp)
    for irrep, part in enumerate(places):
        irreps[part] = irrep
    return irreps
