"""A hardware-efficient circuit: layers of Ry rotations and chains of CZ (Kandala et al., Nature 549, 242 (2017)).

It knows nothing of electrons, so the number of either spin is held by a penalty while the angles are optimised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1

from kanad_solvers.active_space import Window
from kanad_solvers.properties import Array
from kanad_solvers.result import Circuit
from kanad_solvers.run import Watch

PENALTY_HARTREE = 2.0  # for one electron too many or too few, squared; above the electron affinities of molecules
START_SPREAD = (
    0.3  # radian; at the reference itself slopes vanish: of 6 starts for H2, 2 with 0.1 stayed there, none with 0.3
)


class HardwareEfficient:
    """The circuit on the 2^(2 norb) vector of all bitstrings, qubit q being bit q (alpha orbitals first).

    Angles have shape ((layers + 1) * qubits,): a layer of Ry on every qubit, then CZ on neighbours, and Ry at the end.
    """

    def __init__(self, window: Window, layers: int, watch: Watch) -> None:
        self._window, self._layers, self._watch = window, layers, watch
        self.qubits = 2 * window.norb
        self.parameters = (layers + 1) * self.qubits
        bits = (np.arange(1 << self.qubits)[:, None] >> np.arange(self.qubits) & 1).astype(bool)
        self._signs = 1.0 - 2.0 * (np.sum(bits[:, 1:] & bits[:, :-1], axis=1) % 2)
        alpha, beta = bits[:, : window.norb].sum(axis=1), bits[:, window.norb :].sum(axis=1)
        self._excess = (alpha - window.nelec[0]) ** 2 + (beta - window.nelec[1]) ** 2
        self._sectors = _Sectors(window)

    def start(self, rng: np.random.Generator) -> Array:
        """Angles near the reference."""
        return rng.normal(scale=START_SPREAD, size=self.parameters)

    def circuit(self) -> Circuit:
        """Size of the circuit: one CZ for each pair of neighbours and layer."""
        return Circuit(qubits=self.qubits, parameters=self.parameters, two_qubit_gates=self._layers * (self.qubits - 1))

    def state(self, angles: Array) -> Array:
        """The state, shape (2^qubits,)."""
        vector = np.zeros(1 << self.qubits)
        vector[self._reference] = 1.0
        for layer, row in enumerate(angles.reshape(-1, self.qubits)):
            for qubit, angle in enumerate(row):
                vector = _turned(vector, qubit, angle)
            if layer < self._layers:
                vector = vector * self._signs
        return vector

    def slopes(self, angles: Array) -> tuple[float, Array]:
        """Energy with penalty (hartree) and its derivatives (hartree/radian), by one pass backwards."""
        self._watch.check()
        vector = self.state(angles)
        image = self._sectors.image(vector) + PENALTY_HARTREE * self._excess * vector
        value = float(vector @ image)
        slopes = np.zeros_like(angles)
        for place in reversed(range(angles.size)):
            layer, qubit = divmod(place, self.qubits)
            if qubit == self.qubits - 1 and layer < self._layers:
                vector, image = vector * self._signs, image * self._signs
            # d Ry(t)/dt = Ry(t) Ry(pi) / 2
            slopes[place] = image @ _turned(vector, qubit, np.pi)
            vector, image = _turned(vector, qubit, -angles[place]), _turned(image, qubit, -angles[place])
        return value, slopes

    def energy(self, vector: Array) -> float:
        """<H> without the penalty, hartree."""
        return float(vector @ self._sectors.image(vector))

    def inside(self, vector: Array) -> tuple[Array, float]:
        """The part with the right electrons as a CI matrix, normalised, and its weight."""
        places = self._sectors.places(*self._window.nelec)
        part = vector[places]
        weight = float(np.sum(part**2))
        return part / np.sqrt(weight) if weight > 0 else part, weight

    @property
    def _reference(self) -> int:
        alpha, beta = ((1 << n) - 1 for n in self._window.nelec)
        return alpha | beta << self._window.norb


def _turned(vector: Array, qubit: int, angle: float) -> Array:
    """Ry(angle) on one qubit."""
    pairs = vector.reshape(-1, 2, 1 << qubit)
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    low, high = pairs[:, 0], pairs[:, 1]
    return np.stack((cosine * low - sine * high, sine * low + cosine * high), axis=1).ravel()


class _Sectors:
    """The Hamiltonian on all bitstrings, one sector of (alpha, beta) electrons after the other."""

    def __init__(self, window: Window) -> None:
        self._window = window
        norb = window.norb
        self._strings = [np.asarray(cistring.make_strings(range(norb), n), dtype=np.int64) for n in range(norb + 1)]
        self._links = [cistring.gen_linkstr_index_trilidx(range(norb), n) if n else None for n in range(norb + 1)]

    def places(self, alpha: int, beta: int) -> NDArray[np.int64]:
        """Bitstrings of a sector, shape (na, nb)."""
        return self._strings[alpha][:, None] | self._strings[beta][None, :] << self._window.norb

    def image(self, vector: Array) -> Array:
        """H on a vector, core energy included, shape (2^qubits,)."""
        window = self._window
        made = window.core_energy * vector
        for alpha in range(window.norb + 1):
            for beta in range(window.norb + 1):
                if alpha + beta == 0:
                    continue
                places = self.places(alpha, beta)
                made[places] += self._sector(vector[places], alpha, beta)
        return made

    def _sector(self, part: Array, alpha: int, beta: int) -> Array:
        window = self._window
        nelec = (alpha, beta)
        if 0 in nelec:
            return self._one_spin(part, max(nelec))
        absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, nelec, 0.5)
        packed = ao2mo.restore(4, absorbed, window.norb)
        links = (self._links[alpha], self._links[beta])
        return np.asarray(
            direct_spin1.contract_2e(packed, np.ascontiguousarray(part), window.norb, nelec, links)
        ).reshape(part.shape)

    def _one_spin(self, part: Array, electrons: int) -> Array:
        """A sector with electrons of one spin only, which PySCF's loop over both does not take: dense."""
        from pyscf.fci import direct_spin1 as exact

        window = self._window
        size = len(self._strings[electrons])
        nelec = (electrons, 0)
        _, matrix = exact.pspace(window.h1, window.eri, window.norb, nelec, np=size)
        return np.asarray((matrix @ part.reshape(size)).reshape(part.shape))
