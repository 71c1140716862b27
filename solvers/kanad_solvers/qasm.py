"""Circuits as OpenQASM 3 text, under the Jordan-Wigner transformation.

Qubits 0 .. norb - 1 are the alpha orbitals, norb .. 2 norb - 1 the beta ones. An excitation rotation is a product of
exponentials of commuting Pauli strings, each a staircase of CNOTs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from kanad_solvers.properties import Array
from kanad_solvers.statevector import Ansatz, Excitation

MAX_QUBITS = 20
Pauli = tuple[int, int]
"""X part and Z part of a Pauli string as bit masks; both bits of a qubit set: Y."""


def program(ansatz: Ansatz, angles: Array) -> str | None:
    """A product of excitation rotations on the reference, as a program; None beyond 20 qubits."""
    qubits = 2 * ansatz.norb
    if qubits > MAX_QUBITS:
        return None
    lines = _head(qubits, [*range(ansatz.nelec[0]), *(ansatz.norb + p for p in range(ansatz.nelec[1]))])
    for excitation in ansatz.excitations:
        angle = float(angles[excitation.parameter])
        if angle != 0.0:
            for (x_mask, z_mask), weight in rotations(excitation, ansatz.norb).items():
                lines += _exponential(x_mask, z_mask, angle * weight, qubits)
    return "\n".join(lines) + "\n"


def layered(qubits: int, filled: list[int], angles: Array) -> str | None:
    """Layers of Ry, shape (layers + 1, qubits), with CZ between neighbours in between; None beyond 20 qubits."""
    if qubits > MAX_QUBITS:
        return None
    lines = _head(qubits, filled)
    rows = angles.reshape(-1, qubits)
    for place, row in enumerate(rows):
        lines += [f"ry({angle!r}) q[{qubit}];" for qubit, angle in enumerate(row.tolist())]
        if place < len(rows) - 1:
            lines += [f"cz q[{qubit}], q[{qubit + 1}];" for qubit in range(qubits - 1)]
    return "\n".join(lines) + "\n"


def _head(qubits: int, filled: list[int]) -> list[str]:
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"qubit[{qubits}] q;"]
    return lines + [f"x q[{qubit}];" for qubit in filled]


# Pauli strings


def rotations(excitation: Excitation, norb: int) -> dict[Pauli, float]:
    """exp(t (T - T^+)) as the product of exp(i t w P) over Pauli strings P with weights w."""
    operator: dict[Pauli, complex] = {(0, 0): 1.0}
    moves = [*excitation.alpha, *((i + norb, a + norb) for i, a in excitation.beta)]
    for i, a in moves:
        operator = _times(operator, _times(_ladder(a, creates=True), _ladder(i, creates=False)))
    return {string: 2 * weight.imag for string, weight in operator.items() if abs(weight.imag) > 1e-12}


def _ladder(qubit: int, *, creates: bool) -> dict[Pauli, complex]:
    """a or a^+ of an orbital: (X +- i Y) / 2 behind a Z on every lower qubit."""
    below, bit = (1 << qubit) - 1, 1 << qubit
    return {(bit, below): 0.5, (bit, below | bit): -0.5j if creates else 0.5j}


def _times(left: dict[Pauli, complex], right: dict[Pauli, complex]) -> dict[Pauli, complex]:
    made: dict[Pauli, complex] = {}
    for (x1, z1), a in left.items():
        for (x2, z2), b in right.items():
            string = (x1 ^ x2, z1 ^ z2)
            made[string] = made.get(string, 0.0) + a * b * _phase(x1, z1, x2, z2)
    return {string: weight for string, weight in made.items() if abs(weight) > 1e-12}


def _phase(x1: int, z1: int, x2: int, z2: int) -> complex:
    """Phase of the product of two Pauli strings, with Y = i X Z kept as one letter."""
    power = (x1 & z1).bit_count() + (x2 & z2).bit_count() - ((x1 ^ x2) & (z1 ^ z2)).bit_count()
    sign = -1.0 if (z1 & x2).bit_count() % 2 else 1.0
    return sign * (1.0, 1j, -1.0, -1j)[power % 4]


def _exponential(x_mask: int, z_mask: int, angle: float, qubits: int) -> Iterator[str]:
    """exp(i angle P): turn to the Z basis, add up the parity, rotate, undo."""
    touched = [q for q in range(qubits) if (x_mask | z_mask) >> q & 1]
    into, out = [], []
    for q in touched:
        if x_mask >> q & 1 and z_mask >> q & 1:
            into.append(f"rx(pi/2) q[{q}];")
            out.append(f"rx(-pi/2) q[{q}];")
        elif x_mask >> q & 1:
            into.append(f"h q[{q}];")
            out.append(f"h q[{q}];")
    stairs = [f"cx q[{low}], q[{high}];" for low, high in pairwise(touched)]
    yield from into
    yield from stairs
    yield f"rz({-2 * angle!r}) q[{touched[-1]}];"
    yield from reversed(stairs)
    yield from out
