"""VQE with an ansatz that grows: the operator with the largest gradient comes next (ADAPT-VQE).

Grimsley et al., Nat. Commun. 10, 3007 (2019). All angles are optimised again after each operator.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kanad_solvers import active_space, mole, optimizers, qasm, statevector, vqe
from kanad_solvers.active_space import Window
from kanad_solvers.gradients import numerical_gradient
from kanad_solvers.optimizers import Found
from kanad_solvers.properties import Array
from kanad_solvers.result import Result, VariationalSearch
from kanad_solvers.run import Watch
from kanad_solvers.spec import AdaptiveEigensolver, Spec
from kanad_solvers.statevector import Ansatz, Excitation

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "adapt"
STALLED_HARTREE = 1e-10  # an operator that lowers the energy by less than this ends the growth


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The energy of the grown ansatz, with its operators and the state's properties.

    Raises:
        InvalidSpec: the window does not fit the molecule.
        TooLarge: the state vector does not fit into the memory limit.
        NotConverged: the reference gave no finite energy.
    """
    method = spec.method
    assert isinstance(method, AdaptiveEigensolver)
    last = 3
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    vqe.refuse_vector(window, spec)
    pool = operators(window, method.pool)
    watch.stage(1, last, f"Pool of {len(pool)} operators built")
    growth = _Growth(window, pool, watch)
    found = growth.run(method)
    watch.stage(2, last, "Ansatz grown" if growth.converged else "Growth stopped", found.energy)
    search = VariationalSearch(
        optimizer="l-bfgs-b",
        iterations=growth.iterations,
        evaluations=growth.evaluations,
        gradient_norm=growth.pool_gradient,
        operators=tuple(label(pool[place]) for place in growth.chosen),
    )
    ansatz = growth.ansatz()
    watch.qasm = qasm.program(ansatz, found.angles)
    vector = ansatz.state(found.angles).reshape(ansatz.shape)
    gradient = numerical_gradient(solve, spec, molecule, watch)
    result = vqe.state_result(
        window, vector, found.energy, growth.converged, "adapt_vqe", gradient, vqe.circuit(ansatz), search, watch
    )
    watch.stage(3, last, "Properties computed", result.energy_hartree)
    return result


# Pool

Operator = tuple[Excitation, ...]


def operators(window: Window, pool: str) -> list[Operator]:
    """The operators to choose from; mirror images in spin belong to one, so that singlets stay singlets."""
    excitations, _ = (
        statevector.uccsd(window.norb, window.nelec, window.orbsym)
        if pool == "singles_doubles"
        else generalized(window.norb, window.orbsym)
    )
    grouped: dict[int, list[Excitation]] = {}
    for excitation in excitations:
        grouped.setdefault(excitation.parameter, []).append(excitation)
    return [tuple(group) for group in grouped.values()]


def generalized(norb: int, orbsym: NDArray[np.intp] | None) -> tuple[list[Excitation], int]:
    """Single and double excitations between any orbitals, and the number of parameters."""
    singles = list(combinations(range(norb), 2))
    directed = [(p, q) for p in range(norb) for q in range(norb) if p != q]
    numbered: dict[object, int] = {}
    found: list[Excitation] = []

    def add(alpha: tuple[tuple[int, int], ...], beta: tuple[tuple[int, int], ...], key: object) -> None:
        if statevector.is_symmetric((*alpha, *beta), orbsym):
            found.append(Excitation(alpha, beta, numbered.setdefault(key, len(numbered))))

    for pair in singles:
        add((pair,), (), ("single", pair))
        add((), (pair,), ("single", pair))
    for first, second in combinations(singles, 2):
        # (p q -> r s) and its reverse are one operator; p q and r s may share an orbital only by name, not in place.
        if not set(first) & set(second):
            moves = ((first[0], second[0]), (first[1], second[1]))
            add(moves, (), ("same", first, second))
            add((), moves, ("same", first, second))
    for one in directed:
        for other in directed:
            reverse = ((one[1], one[0]), (other[1], other[0]))
            if (one, other) <= reverse:
                mirror = min((one, other), (other, one), reverse, reverse[::-1])
                is_flipped = mirror in (reverse, reverse[::-1])
                alpha, beta = reverse if is_flipped else (one, other)
                add((alpha,), (beta,), ("opposite", mirror))
    return found, len(numbered)


def label(operator: Operator) -> str:
    """How an operator is written: orbitals from and to, with their spins, counted from 0."""
    first = operator[0]
    moves = [f"{i}a->{a}a" for i, a in first.alpha] + [f"{i}b->{a}b" for i, a in first.beta]
    return " ".join(moves) + (" + mirror image" if len(operator) > 1 else "")


# Growth


class _Growth:
    """The operators chosen so far with their angles; `converged` says whether the pool's gradient vanished."""

    def __init__(self, window: Window, pool: list[Operator], watch: Watch) -> None:
        self._window, self._pool, self._watch = window, pool, watch
        self._energy = vqe.ExactEnergy(window, watch)
        self._diagonal = self._energy.diagonal()
        everything = [excitation for operator in pool for excitation in operator]
        self._all = Ansatz(window.norb, window.nelec, everything)
        self._owner = np.array([place for place, operator in enumerate(pool) for _ in operator], dtype=np.intp)
        self.chosen: list[int] = []
        self.iterations = self.evaluations = 0
        self.pool_gradient: float | None = None
        self.converged = False

    def ansatz(self) -> Ansatz:
        """The product of the chosen operators, each with an angle of its own."""
        return Ansatz(
            self._window.norb,
            self._window.nelec,
            [
                Excitation(excitation.alpha, excitation.beta, parameter)
                for parameter, place in enumerate(self.chosen)
                for excitation in self._pool[place]
            ],
        )

    def run(self, method: AdaptiveEigensolver) -> Found:
        """Grows until the gradient of the pool vanishes, nothing is gained, or `max_operators` are in."""
        found = self._resumed()
        while True:
            slopes = self._pool_slopes(found.angles)
            self.pool_gradient = float(np.linalg.norm(slopes))
            if self.pool_gradient <= method.gradient_tol:
                self.converged = True
                return found
            if len(self.chosen) == method.max_operators:
                self._watch.warn(
                    f"the pool's gradient is still {self.pool_gradient:.1e} hartree/radian with {len(self.chosen)} "
                    "operators: raise max_operators"
                )
                return found
            before = found
            self.chosen.append(int(np.argmax(np.abs(slopes))))
            found = self._optimise(np.append(found.angles, 0.0), method.max_iterations)
            delta = found.energy - before.energy
            self._watch.converge("adapt", len(self.chosen), found.energy, delta, self.pool_gradient)
            self._watch.memory.keep(MEMORY, chosen=np.array(self.chosen), angles=found.angles)
            if abs(delta) < STALLED_HARTREE:
                self._watch.warn("the last operator lowered the energy no further: the pool is exhausted")
                return found

    def _resumed(self) -> Found:
        """The reference, or what a lost attempt had grown."""
        kept = self._watch.recall(MEMORY, "operators and their angles")
        if kept is not None and len(kept["chosen"]) == len(kept["angles"]) and (kept["chosen"] < len(self._pool)).all():
            self.chosen = [int(place) for place in kept["chosen"]]
            return self._optimise(kept["angles"], 1)
        return Found(angles=np.zeros(0), energy=self._window.hf_energy, converged=True, iterations=0, evaluations=0)

    def _optimise(self, start: Array, max_iterations: int) -> Found:
        ansatz = self.ansatz()
        found = optimizers.by_gradient(
            "l-bfgs-b",
            lambda angles: self._energy.slopes(ansatz, angles),
            start,
            max_iterations,
            lambda *_: None,
            ansatz.stiffness(self._diagonal),
        )
        self.iterations += found.iterations
        self.evaluations += found.evaluations
        return found

    def _pool_slopes(self, angles: Array) -> Array:
        """dE/d(angle) of each operator if it were appended with angle zero, shape (operators,), hartree/radian."""
        ansatz = self.ansatz()
        state = ansatz.state(angles)
        image = self._energy.image(state)
        slopes = np.zeros(len(self._pool))
        np.add.at(slopes, self._owner, self._all.slopes_at(state, image))
        return slopes
