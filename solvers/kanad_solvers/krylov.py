"""Time-evolved states exp(-i k dt H)|HF>: the quantum Krylov basis (Yu et al., arXiv:2501.09702)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1

from kanad_solvers.active_space import Window
from kanad_solvers.properties import Array
from kanad_solvers.run import Watch

Complex = NDArray[np.complex128]
Apply = Callable[[Complex], Complex]

LANCZOS_VECTORS = 30
STEP_ERROR = 1e-8  # norm of what one Lanczos step may leave out
RANGE_VECTORS = 20
LEAST_NORM = 1e-12


def evolved_states(window: Window, count: int, time_step: float | None, watch: Watch) -> Iterator[Complex]:
    """exp(-i k dt H)|HF> for k = 0 .. count - 1, each of shape (na, nb).

    Args:
        time_step: dt in 1/hartree; None takes pi / (E_max - E_min), the step for which the Krylov error bound
            holds (Epperly, Lin and Nakatsukasa, SIAM J. Matrix Anal. Appl. 43, 1263 (2022)).
    """
    shape = tuple(cistring.num_strings(window.norb, n) for n in window.nelec)
    apply = hamiltonian(window, shape)
    state = np.zeros(shape, dtype=complex)
    state[0, 0] = 1.0
    step = time_step if time_step is not None else np.pi / max(spectral_range(apply, state), LEAST_NORM)
    watch.info(f"time evolution in steps of {step:.4g} atomic units")
    for k in range(count):
        watch.beat("time evolution", k, count)
        yield state
        if k < count - 1:
            state = evolve(apply, state, step, watch)


def hamiltonian(window: Window, shape: tuple[int, ...]) -> Apply:
    """H on complex CI matrices, without the core energy."""
    absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
    packed = ao2mo.restore(4, absorbed, window.norb)
    links = tuple(cistring.gen_linkstr_index_trilidx(range(window.norb), n) for n in window.nelec)

    def image(part: Array) -> Array:
        made = direct_spin1.contract_2e(packed, np.ascontiguousarray(part), window.norb, window.nelec, links)
        return np.asarray(made).reshape(shape)

    def apply(vector: Complex) -> Complex:
        made = image(vector.real).astype(complex)
        if np.any(vector.imag):
            made += 1j * image(vector.imag)
        return made

    return apply


def spectral_range(apply: Apply, start: Complex) -> float:
    """E_max - E_min over the states that `start` reaches, by Lanczos, hartree."""
    random = np.random.default_rng(0).standard_normal(start.shape)
    _, diagonal, off_diagonal = _lanczos(apply, start + 0.1 * random / np.linalg.norm(random), RANGE_VECTORS)
    values = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off_diagonal[:-1], 1) + np.diag(off_diagonal[:-1], -1))
    return float(values[-1] - values[0])


def evolve(apply: Apply, state: Complex, duration: float, watch: Watch) -> Complex:
    """exp(-i t H)|state> by short iterative Lanczos (Park and Light, J. Chem. Phys. 85, 5870 (1986)).

    A step is halved until the weight of its last Krylov vector is below `STEP_ERROR`.
    """
    left = duration
    while left > 0:
        watch.check()
        norm = float(np.linalg.norm(state))
        vectors, diagonal, off_diagonal = _lanczos(apply, state / norm, LANCZOS_VECTORS)
        values, turn = np.linalg.eigh(
            np.diag(diagonal) + np.diag(off_diagonal[:-1], 1) + np.diag(off_diagonal[:-1], -1)
        )
        step = left
        while True:
            weights = turn @ (np.exp(-1j * step * values) * turn[0])
            if off_diagonal[-1] < LEAST_NORM or abs(weights[-1]) * off_diagonal[-1] * step < STEP_ERROR:
                break
            step /= 2
        state = np.asarray(norm * np.tensordot(weights, vectors, axes=1), dtype=complex)
        left -= step
    return state


def _lanczos(apply: Apply, start: Complex, size: int) -> tuple[Complex, Array, Array]:
    """Krylov vectors, shape (m, ...), and the tridiagonal H over them: diagonal (m,), off-diagonal (m,)."""
    vectors = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    while True:
        image = apply(vectors[-1])
        diagonal.append(float(np.vdot(vectors[-1], image).real))
        for other in vectors:  # orthogonal to all: rounding would bring copies of converged states back
            image = image - np.vdot(other, image) * other
        norm = float(np.linalg.norm(image))
        off_diagonal.append(norm)
        if norm < LEAST_NORM or len(vectors) == min(size, start.size):
            return np.array(vectors), np.array(diagonal), np.array(off_diagonal)
        vectors.append(image / norm)
