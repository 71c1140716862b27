"""States around a variational one: quantum subspace expansion (McClean et al., Phys. Rev. A 95, 042308 (2017)).

The basis is the state and all single and double excitations of it, from orbitals filled in the reference to empty ones.
"""

from __future__ import annotations

import numpy as np
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1

from kanad_solvers import full_ci, statevector
from kanad_solvers.active_space import PURE_SPIN, Window
from kanad_solvers.errors import TooLarge
from kanad_solvers.full_ci import Roots
from kanad_solvers.properties import Array
from kanad_solvers.run import Watch
from kanad_solvers.spec import ExcitedStates

LEAST_OVERLAP = 1e-6  # eigenvalues of the overlap below are dropped: their directions are noise


def expand(window: Window, vector: Array, task: ExcitedStates, memory_mb: int, watch: Watch) -> tuple[Roots, Roots]:
    """The ground state of the expansion, and the states above it that have the spin asked for.

    Args:
        vector: the variational state, shape (na, nb).

    Raises:
        TooLarge: the basis does not fit into the memory limit.
    """
    excitations, _ = statevector.uccsd(window.norb, window.nelec, share_mirrored=False)
    needed = (len(excitations) + 1) * vector.size * 8 * 2 / 1e6
    if needed > memory_mb:
        raise TooLarge(
            f"the expansion of {len(excitations) + 1} states needs {needed:.0f} MB, the limit is {memory_mb} MB; "
            "take a smaller active space",
            needed_mb=round(needed),
            limit_mb=memory_mb,
        )
    ansatz = statevector.Ansatz(window.norb, window.nelec, excitations)
    basis = [vector.ravel(), *(ansatz.excited(vector.ravel(), place) for place in range(len(excitations)))]
    roots = _diagonalise(window, np.array([column for column in basis if np.any(column)]), watch)
    above = _of_spin(roots.part(slice(1, None)), task, window, watch)
    return roots.part(slice(0, 1)), above


def _diagonalise(window: Window, basis: Array, watch: Watch) -> Roots:
    """Eigenstates in the span of `basis`, shape (n, na * nb)."""
    absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
    packed = ao2mo.restore(4, absorbed, window.norb)
    links = tuple(cistring.gen_linkstr_index_trilidx(range(window.norb), n) for n in window.nelec)
    shape = tuple(cistring.num_strings(window.norb, n) for n in window.nelec)
    overlaps, turn = np.linalg.eigh(basis @ basis.T)
    kept = overlaps > LEAST_OVERLAP
    directions = (turn[:, kept] / np.sqrt(overlaps[kept])).T @ basis
    images = np.empty_like(directions)
    for place, direction in enumerate(directions):
        watch.beat("expansion", place, len(directions))
        image = direct_spin1.contract_2e(packed, direction.reshape(shape), window.norb, window.nelec, links)
        images[place] = np.asarray(image).ravel()
    energies, weights = np.linalg.eigh(directions @ images.T)
    vectors = [(weight @ directions).reshape(shape) for weight in weights.T]
    energies, vectors, spins = full_ci.purify(
        energies + window.core_energy, vectors, lambda v: full_ci.apply_s_squared(v, window.norb, window.nelec)
    )
    return Roots(nelec=window.nelec, energies=energies, vectors=vectors, s_squared=spins, converged=True)


def _of_spin(roots: Roots, task: ExcitedStates, window: Window, watch: Watch) -> Roots:
    places = np.arange(len(roots.vectors))
    if task.spin != "any" and window.nelec[0] == window.nelec[1]:
        target = 0.0 if task.spin == "singlet" else 2.0
        places = np.flatnonzero(np.abs(roots.s_squared - target) < PURE_SPIN)
    if len(places) < task.n_states:
        watch.warn(f"{len(places)} {task.spin} states were found in the expansion, {task.n_states} asked for")
    return roots.part(places[: task.n_states])
