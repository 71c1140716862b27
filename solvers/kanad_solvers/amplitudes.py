"""Cluster amplitudes of cheaper methods as rotation angles of a UCCSD ansatz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pyscf import ao2mo, cc

from kanad_solvers import frames
from kanad_solvers.active_space import Window
from kanad_solvers.properties import Array
from kanad_solvers.run import Watch
from kanad_solvers.statevector import Ansatz, Excitation

LEAST_DENOMINATOR = 0.1  # hartree; a smaller gap would give a wild angle
LEAST_ANGLE = 1e-9  # zero by symmetry up to rounding; left out of the product
CCSD_CYCLES = 100


def mp2_angles(window: Window, ansatz: Ansatz) -> Array:
    """Start angles: first-order doubles amplitudes, singles zero; shape (parameters,), radians.

    t(ia, jb) = [(ia|jb) - delta_spin (ib|ja)] / (e_i + e_j - e_a - e_b), with e the diagonal of the Fock
    matrix of each spin.
    """
    integrals = ao2mo.restore(1, window.eri, window.norb)
    levels = _fock_diagonals(window, integrals)
    angles = np.zeros(ansatz.parameters)
    for excitation in ansatz.excitations:
        moved = [(0, *pair) for pair in excitation.alpha] + [(1, *pair) for pair in excitation.beta]
        if len(moved) == 2:
            angles[excitation.parameter] = _first_order(moved, integrals, levels)
    return angles


def _first_order(moved: list[tuple[int, int, int]], integrals: Array, levels: tuple[Array, Array]) -> float:
    (s, i, a), (t, j, b) = moved
    coupling = integrals[i, a, j, b] - (integrals[i, b, j, a] if s == t else 0.0)
    gap = levels[s][i] + levels[t][j] - levels[s][a] - levels[t][b]
    return float(coupling / min(gap, -LEAST_DENOMINATOR))


def _fock_diagonals(window: Window, integrals: Array) -> tuple[Array, Array]:
    """Diagonal Fock elements of alpha and beta over the window, hartree."""
    alpha, beta = window.nelec
    coulomb = np.einsum("ppii->pi", integrals)
    exchange = np.einsum("piip->pi", integrals)
    shared = window.h1.diagonal() + coulomb[:, :alpha].sum(1) + coulomb[:, :beta].sum(1)
    return shared - exchange[:, :alpha].sum(1), shared - exchange[:, :beta].sum(1)


def ccsd_angles(window: Window, ansatz: Ansatz, watch: Watch) -> Array:
    """CCSD amplitudes t1 and t2 over the window as angles, shape (parameters,), radians.

    Where CCSD does not converge, first-order amplitudes: a sampler needs the right strings, not the energy.
    """
    if max(window.nelec) == window.norb or sum(window.nelec) < 2:
        return mp2_angles(window, ansatz)  # no empty orbital, or no pair: CCSD has nothing to solve
    solver = _solved(window, watch)
    if not solver.converged:
        watch.info("CCSD did not converge; first-order amplitudes are used instead")
        return mp2_angles(window, ansatz)
    t1, t2 = solver.t1, solver.t2
    if window.nelec[0] == window.nelec[1]:
        same = t2 - t2.transpose(0, 1, 3, 2)
        t1, t2 = (t1, t1), (same, t2, same)
    return _angles(ansatz, t1, t2)


def _angles(ansatz: Ansatz, t1: tuple[Array, Array], t2: tuple[Array, Array, Array]) -> Array:
    angles = np.zeros(ansatz.parameters)
    for excitation in ansatz.excitations:
        angle = float(_tensor(excitation, t1, t2)[_place(excitation, ansatz.nelec)])
        angles[excitation.parameter] = angle if abs(angle) > LEAST_ANGLE else 0.0
    return angles


def tensors(window: Window, ansatz: Ansatz, angles: Array) -> dict[str, Array]:
    """Angles as amplitudes by spin with their frame, for a neighbour's orbitals (`frames.turned`)."""
    empty = [window.norb - n for n in ansatz.nelec]
    sizes = list(zip(ansatz.nelec, empty, strict=True))
    t1 = (np.zeros(sizes[0]), np.zeros(sizes[1]))
    pairs = [(sizes[0], sizes[0]), (sizes[0], sizes[1]), (sizes[1], sizes[1])]
    same_alpha, opposite, same_beta = (np.zeros((s[0], t[0], s[1], t[1])) for s, t in pairs)
    t2 = (same_alpha, opposite, same_beta)
    for excitation in ansatz.excitations:
        place, angle = _place(excitation, ansatz.nelec), angles[excitation.parameter]
        tensor = _tensor(excitation, t1, t2)
        tensor[place] = angle
        if len(place) == 4 and len(excitation.beta) != 1:
            i, j, a, b = place
            tensor[j, i, b, a], tensor[i, j, b, a], tensor[j, i, a, b] = angle, -angle, -angle
    names = ("t1a", "t1b", "t2aa", "t2ab", "t2bb")
    return dict(zip(names, (*t1, *t2), strict=True)) | {frames.FRAME: frames.frame(window.field.mol, window.active)}


def continued_angles(kept: Mapping[str, Array], window: Window, ansatz: Ansatz) -> Array | None:
    """Angles of a neighbour's amplitudes (`tensors`) in the orbitals at hand; None where they do not fit."""
    target = frames.frame(window.field.mol, window.active)
    sizes = [(n, window.norb - n) for n in ansatz.nelec]
    if kept[frames.FRAME].shape != target.shape or [kept["t1a"].shape, kept["t1b"].shape] != sizes:
        return None
    made = frames.turned(kept, target)
    return _angles(ansatz, (made["t1a"], made["t1b"]), (made["t2aa"], made["t2ab"], made["t2bb"]))


def ccsd(window: Window, watch: Watch) -> tuple[Any, Any]:
    """CCSD amplitudes t1 and t2 over the window: arrays for closed shells, tuples by spin otherwise.

    Where CCSD does not converge they are the last ones: a circuit may start from anything.
    """
    solver = _solved(window, watch)
    if not solver.converged:
        watch.info("CCSD did not converge; its last amplitudes are used")
    return solver.t1, solver.t2


def _solved(window: Window, watch: Watch) -> Any:
    """PySCF's CCSD of the window, iterated."""
    solver = _coupled_cluster(window)
    solver.verbose = 0
    solver.max_cycle = CCSD_CYCLES
    solver.callback = lambda _: watch.check()
    solver.kernel()
    return solver


def _coupled_cluster(window: Window) -> Any:
    """PySCF's CCSD of the window: restricted for closed shells, unrestricted otherwise."""
    field = window.field
    orbitals = window.orbitals
    frozen = [*range(window.ncore), *range(window.ncore + window.norb, orbitals.shape[1])] or None
    number = [window.ncore + n for n in window.nelec]
    occupied = [np.where(np.arange(orbitals.shape[1]) < n, 1.0, 0.0) for n in number]
    if number[0] == number[1]:
        return cc.CCSD(field, frozen, mo_coeff=orbitals, mo_occ=occupied[0] * 2)
    return cc.UCCSD(field.to_uhf(), frozen, mo_coeff=np.array((orbitals, orbitals)), mo_occ=np.array(occupied))


def _place(excitation: Excitation, nelec: tuple[int, int]) -> tuple[int, ...]:
    """Indices (i, a) or (i, j, a, b) of the excitation's amplitude."""
    moved = [(i, a - nelec[0]) for i, a in excitation.alpha] + [(i, a - nelec[1]) for i, a in excitation.beta]
    return tuple(i for i, _ in moved) + tuple(a for _, a in moved)


def _tensor(excitation: Excitation, t1: tuple[Array, Array], t2: tuple[Array, Array, Array]) -> Array:
    """Where its amplitude is: singles of its spin, or doubles alpha-alpha, alpha-beta or beta-beta."""
    singles = len(excitation.alpha) + len(excitation.beta) == 1
    return t1[len(excitation.beta)] if singles else t2[len(excitation.beta)]
