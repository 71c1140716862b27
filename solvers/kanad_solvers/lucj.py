"""Local unitary cluster Jastrow circuits by ffsim (Motta et al., Chem. Sci. 14, 11213 (2023)).

Same-spin interactions join neighbouring orbitals, opposite spins meet on every fourth orbital: what a heavy-hex
lattice can do without swaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanad_solvers import amplitudes
from kanad_solvers.active_space import Window
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.properties import Array
from kanad_solvers.result import Circuit
from kanad_solvers.run import Watch

Complex = NDArray[np.complex128]
SPIN_STRIDE = 4  # opposite spins meet on every fourth orbital of a heavy-hex lattice


def _ffsim(path: str) -> Any:
    try:
        import ffsim
    except ImportError as error:
        raise InvalidSpec.at(path, "lucj needs the package ffsim: pip install 'kanad-server[quantum]'") from error
    return ffsim


def _pairs(norb: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Interacting pairs of orbitals of the same spin, and of opposite spins."""
    return [(p, p + 1) for p in range(norb - 1)], [(p, p) for p in range(0, norb, SPIN_STRIDE)]


class Jastrow:
    """The ansatz over a window, begun from CCSD amplitudes."""

    def __init__(self, window: Window, layers: int, watch: Watch) -> None:
        self._ffsim = _ffsim("$.method.ansatz")
        self._window, self._layers = window, layers
        self._pairs = _pairs(window.norb)
        self._reference = self._ffsim.hartree_fock_state(window.norb, window.nelec)
        self._is_balanced = window.nelec[0] == window.nelec[1]
        self._first = self._from_amplitudes(watch)
        self.parameters = len(self.start())
        self.shape = tuple(int(n) for n in self._ffsim.dims(window.norb, window.nelec))

    def start(self) -> Array:
        """Parameters of the CCSD amplitudes, shape (parameters,)."""
        return np.asarray(self._first.to_parameters(interaction_pairs=self._pairs_of_kind()))

    def state(self, parameters: Array) -> Complex:
        """The state, shape (na, nb)."""
        kind = type(self._first)
        circuit = kind.from_parameters(
            parameters,
            norb=self._window.norb,
            n_reps=self._layers,
            interaction_pairs=self._pairs_of_kind(),
            with_final_orbital_rotation=True,
        )
        made = self._ffsim.apply_unitary(self._reference, circuit, norb=self._window.norb, nelec=self._window.nelec)
        return np.asarray(made).reshape(self.shape)

    def circuit(self) -> Circuit:
        """Size: two CNOTs for each Givens rotation and for each interaction of two qubits."""
        norb = self._window.norb
        rotations = 2 * (self._layers + 1) * norb * (norb - 1) // 2
        same, opposite = self._pairs
        interactions = self._layers * (2 * len(same) + len(opposite))
        return Circuit(qubits=2 * norb, parameters=self.parameters, two_qubit_gates=2 * (rotations + interactions))

    def _pairs_of_kind(self) -> Any:
        same, opposite = self._pairs
        return (same, opposite) if self._is_balanced else (same, opposite, same)

    def _from_amplitudes(self, watch: Watch) -> Any:
        t1, t2 = amplitudes.ccsd(self._window, watch)
        kind = self._ffsim.UCJOpSpinBalanced if self._is_balanced else self._ffsim.UCJOpSpinUnbalanced
        return kind.from_t_amplitudes(t2, t1=t1, n_reps=self._layers, interaction_pairs=self._pairs_of_kind())


def sampled(window: Window, layers: int, watch: Watch) -> tuple[Circuit, Complex]:
    """The circuit with CCSD amplitudes and its state, shape (na, nb), to draw samples from."""
    ansatz = Jastrow(window, layers, watch)
    return ansatz.circuit(), ansatz.state(ansatz.start())
