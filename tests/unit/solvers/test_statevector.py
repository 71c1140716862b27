"""Excitation rotations against matrices of the operators, and the gradient against differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg

from kanad_solvers import statevector
from kanad_solvers.properties import Array
from kanad_solvers.statevector import Ansatz, Excitation


def ladder(qubits: int) -> list[Array]:
    """Annihilation operators under Jordan-Wigner as dense matrices; qubit 0 is the lowest bit."""
    lower, sign, one = np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([1.0, -1.0]), np.eye(2)
    made = []
    for qubit in range(qubits):
        matrix = np.eye(1)
        for place in range(qubits):
            factor = lower if place == qubit else (sign if place < qubit else one)
            matrix = np.kron(factor, matrix)
        made.append(matrix)
    return made


def embed(vector: Array, ansatz: Ansatz) -> Array:
    """The vector over all bitstrings, alpha qubits low, beta qubits high."""
    whole = np.zeros(4**ansatz.norb)
    alpha, beta = ansatz.strings
    whole[(alpha[:, None] + (beta[None, :] << ansatz.norb)).ravel()] = vector
    return whole


def dense_state(ansatz: Ansatz, angles: Array) -> Array:
    """The same product with exponentials of the generators' matrices."""
    lower = ladder(2 * ansatz.norb)
    state = embed(ansatz.reference(), ansatz)
    for excitation in ansatz.excitations:
        moved = [*excitation.alpha, *((i + ansatz.norb, a + ansatz.norb) for i, a in excitation.beta)]
        operator = np.eye(len(state))
        for i, a in moved:
            operator = operator @ lower[a].T @ lower[i]
        state = scipy.linalg.expm(angles[excitation.parameter] * (operator - operator.T)) @ state
    return np.asarray(state)


@pytest.mark.parametrize("nelec", [(2, 2), (2, 1), (1, 1), (3, 1), (1, 0)])
def test_the_product_is_that_of_the_operators(nelec: tuple[int, int]) -> None:
    excitations, number = statevector.uccsd(4, nelec)
    ansatz = Ansatz(4, nelec, excitations)
    angles = np.random.default_rng(11).normal(scale=0.4, size=number)
    found = embed(ansatz.state(angles), ansatz)
    exact = dense_state(ansatz, angles)
    # Alpha and beta strings may be ordered with one global sign; the reference fixes it.
    assert found == pytest.approx(exact * np.sign(exact @ found), abs=1e-12)


@pytest.mark.parametrize("kept_bytes", [0, statevector.KEPT_INDEX_BYTES])
@pytest.mark.parametrize("nelec", [(2, 2), (2, 1)])
def test_the_gradient_is_that_of_differences(
    nelec: tuple[int, int], kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statevector, "KEPT_INDEX_BYTES", kept_bytes)
    excitations, number = statevector.uccsd(4, nelec)
    ansatz = Ansatz(4, nelec, excitations)
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(ansatz.size, ansatz.size))
    matrix = matrix + matrix.T
    angles = rng.normal(scale=0.3, size=number)

    def energy(at: Array) -> float:
        state = ansatz.state(at)
        return float(state @ matrix @ state)

    state = ansatz.state(angles)
    found = ansatz.gradient(angles, state, matrix @ state)
    step = 1e-5
    differences = [
        (energy(angles + step * axis) - energy(angles - step * axis)) / (2 * step) for axis in np.eye(number)
    ]
    assert found == pytest.approx(np.array(differences), abs=1e-7)


def test_rotations_keep_the_norm() -> None:
    excitations, number = statevector.uccsd(5, (3, 2))
    ansatz = Ansatz(5, (3, 2), excitations)
    angles = np.random.default_rng(3).normal(size=number)
    assert np.linalg.norm(ansatz.state(angles)) == pytest.approx(1, abs=1e-12)


def test_mirror_images_share_a_parameter_in_closed_shells() -> None:
    # H2O/STO-3G, 5 occupied and 2 virtual: 10 singles, 10 same-spin doubles, 10 + 45 opposite-spin ones.
    excitations, number = statevector.uccsd(7, (5, 5))
    assert number == 75
    assert len(excitations) == 140
    # Without the mirror, every generator is its own parameter.
    open_shell, own = statevector.uccsd(7, (5, 4))
    assert own == len(open_shell)


def test_gates_of_hydrogen_are_counted_by_hand() -> None:
    # 4 qubits. Two singles over neighbours: 2 x 2 strings x 2 CNOTs = 8. One double over all four qubits:
    # 8 strings of weight 4, 6 CNOTs each = 48.
    excitations, _ = statevector.uccsd(2, (1, 1))
    assert statevector.two_qubit_gates(2, excitations) == 8 + 48


def test_longer_strings_take_more_gates() -> None:
    gates = [statevector.two_qubit_gates(6, [Excitation(alpha=((0, a),), beta=(), parameter=0)]) for a in range(1, 6)]
    assert gates == [4, 8, 12, 16, 20]
    assert all(low < high for low, high in pairwise(gates))
