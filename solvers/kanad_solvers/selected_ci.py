"""Selected configuration interaction: a product of strings that grows where the state couples to what it leaves out.

Strings are chosen by |amplitude| times the largest integral that leads to them, as in heat-bath CI (Holmes et al.,
J. Chem. Theory Comput. 12, 3674 (2016)); PySCF's selection over products of alpha and beta strings is used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pyscf.fci import direct_spin1
from pyscf.fci import selected_ci as pyscf_selected

from kanad_solvers import active_space, full_ci, mean_field, mole, properties, sampling
from kanad_solvers.active_space import Window
from kanad_solvers.errors import TooLarge
from kanad_solvers.gradients import numerical_gradient
from kanad_solvers.properties import Array
from kanad_solvers.result import Result
from kanad_solvers.run import InnerWatch, Watch
from kanad_solvers.sampling import Strings
from kanad_solvers.spec import SelectedCI, Spec
from kanad_solvers.subspace import ENERGY_TOLERANCE, Solution, Subspace

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

ENERGY_STABLE = 1e-8  # hartree, change from one set of strings to the next
LOOSEST = 1e-4  # hartree, tolerance of the states that only choose strings
TOLERANCE_SHARE = 1e-2  # of what the last strings brought: no state is solved to what the next ones will change
VECTORS_HELD = 30
COARSE = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # thresholds of the comparison run, tried in this order


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest state over the selected strings; variational: never below full CI in the window.

    Raises:
        InvalidSpec: the window does not fit the molecule.
        TooLarge: more orbitals than a string has bits for, or vectors beyond the memory limit.
        NotConverged: the reference gave no finite energy.
    """
    method = spec.method
    assert isinstance(method, SelectedCI)
    last = 2
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    most = int(spec.limits.memory_mb * 1e6 / 8 / VECTORS_HELD)
    growth = Growth(window, most, watch)
    space, solution = growth.run(method.epsilon, method.max_iterations)
    energy = float(solution.energies[0])
    watch.stage(1, last, f"{space.size} determinants selected", energy)
    states = properties.electronic_states(
        *full_ci.purify(solution.energies, solution.vectors, space.apply_s_squared)[::2], ()
    )
    watch.state(states[0])
    sentence = active_space.other_spin(window, states[0].s_squared or 0.0)
    if sentence is not None:
        watch.warn(sentence)
    gradient = numerical_gradient(solve, spec, molecule, watch)
    rdm1 = space.rdm1(solution.vectors[0])
    watch.stage(2, last, "Properties computed", energy)
    return Result(
        energy_hartree=energy,
        converged=growth.converged and solution.converged and bool(window.field.converged),
        components=mean_field.components(window.field) | {"correlation_hartree": energy - window.hf_energy},
        reference=mean_field.describe(window.field),
        states=states,
        orbitals=properties.orbitals(window.field.mo_energy, window.field.mo_occ),
        properties=active_space.correlated_properties(window, rdm1, "selected_ci", gradient),
        comparisons=full_ci.compare(window, "any", watch),
    )


def comparison_energy(window: Window, determinants: int, watch: Watch) -> float:
    """The energy of the finest selection with at most `determinants` determinants, hartree; reports nothing."""
    growth = Growth(window, determinants, InnerWatch(watch, mute=True), is_bound=True)
    energy = window.hf_energy
    for epsilon in COARSE:
        _, solution = growth.run(epsilon, 3)
        energy = min(energy, float(solution.energies[0]))
        if growth.is_full:
            break
    return energy


class Growth:
    """A product of strings and its lowest state, enlarged step by step.

    `converged` says whether the last run came to rest; `is_full` that the next step would pass the bound.
    """

    def __init__(self, window: Window, most: int, watch: Watch, *, is_bound: bool = False) -> None:
        if window.norb > sampling.WIDEST_ORBITALS:
            raise TooLarge(
                f"selected CI takes at most {sampling.WIDEST_ORBITALS} orbitals, got {window.norb}; narrow the window",
                orbitals=window.norb,
                limit=sampling.WIDEST_ORBITALS,
            )
        self._window, self._most, self._watch, self._is_bound = window, most, watch, is_bound
        first = [sampling.lowest_strings(window.norb, n, 1) for n in window.nelec]
        self._strings: tuple[Strings, Strings] = (first[0], first[1])
        self._solution: Solution | None = None
        self._iteration = 0
        self._absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
        self.converged = False
        self.is_full = False

    def run(self, epsilon: float, max_iterations: int) -> tuple[Subspace, Solution]:
        """Enlarges until neither strings nor energy change.

        Raises:
            TooLarge: the vectors would pass the memory limit.
        """
        space, tolerance = Subspace(self._window, self._strings), LOOSEST
        for _ in range(max_iterations):
            before = self._solution
            solution = self._solution = space.lowest(1, before, self._watch, tolerance)
            self._report(space, before)
            moved = math.inf if before is None else abs(float(before.energies[0] - solution.energies[0]))
            wider = self._enlarged(space, solution, epsilon)
            size = len(wider[0]) * len(wider[1])
            is_at_rest = size == space.size or moved < ENERGY_STABLE
            self.converged = is_at_rest and tolerance == ENERGY_TOLERANCE
            self.is_full = self._is_bound and (size > self._most or space.size == self._window.determinants)
            if self.converged or self.is_full:
                break
            if is_at_rest:
                tolerance = ENERGY_TOLERANCE
                continue
            self._refuse(size)
            self._strings = wider
            space = Subspace(self._window, wider)
            tolerance = min(LOOSEST, max(ENERGY_TOLERANCE, TOLERANCE_SHARE * moved))
        else:
            self._watch.warn(f"the selection was still growing after {max_iterations} iterations: raise max_iterations")
            space = Subspace(self._window, solution.strings)
        if not self.converged:
            solution = self._solution = space.lowest(1, solution, self._watch)
        return space, solution

    def _report(self, space: Subspace, before: Solution | None) -> None:
        assert self._solution is not None
        self._iteration += 1
        energy = float(self._solution.energies[0])
        delta = None if before is None else energy - float(before.energies[0])
        self._watch.converge("selected_ci", self._iteration, energy, delta)
        self._watch.info(f"iteration {self._iteration}: {space.size} determinants")

    def _enlarged(self, space: Subspace, solution: Solution, epsilon: float) -> tuple[Strings, Strings]:
        """The strings, and those that the state couples to by more than `epsilon`."""
        window = self._window
        amplitudes = np.abs(solution.vectors[0])
        chooser = pyscf_selected.SelectedCI()
        chooser.select_cutoff = epsilon
        integrals = _pair_integrals(self._absorbed, window.norb)
        largest = np.abs(integrals).reshape(window.norb**2, -1).max(axis=1).reshape(window.norb, window.norb)

        def chosen(strings: Strings, electrons: int, weight: Array) -> Strings:
            if electrons == 0 or electrons == window.norb:
                return strings
            added = pyscf_selected.select_strs(
                chooser, integrals, largest, np.ascontiguousarray(weight), strings, window.norb, electrons
            )
            return np.union1d(strings, np.asarray(added, dtype=np.int64))

        alpha, beta = space.strings
        if window.nelec[0] == window.nelec[1]:  # both spins keep the same strings
            both = chosen(alpha, window.nelec[0], np.maximum(amplitudes.max(axis=1), amplitudes.max(axis=0)))
            return both, both
        alpha = chosen(alpha, window.nelec[0], amplitudes.max(axis=1))
        return alpha, chosen(beta, window.nelec[1], amplitudes.max(axis=0))

    def _refuse(self, size: int) -> None:
        if size > self._most:
            raise TooLarge(
                f"{size} determinants were selected, and limits.memory_mb allows {self._most}: raise either",
                determinants=size,
                limit=self._most,
            )


def _pair_integrals(absorbed: Array, norb: int) -> Array:
    """Two-body integrals with the one-body ones in them, shape (norb, norb, norb, norb), hartree."""
    from pyscf import ao2mo

    return np.ascontiguousarray(ao2mo.restore(1, absorbed, norb))
