"""Variational quantum eigensolver on the exact state vector: UCCSD angles by L-BFGS-B and exact gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1

from kanad_solvers import (
    active_space,
    amplitudes,
    full_ci,
    mean_field,
    mole,
    properties,
    sampling,
    statevector,
)
from kanad_solvers.active_space import Window
from kanad_solvers.errors import TooLarge
from kanad_solvers.numerical_gradient import numerical_gradient
from kanad_solvers.properties import Array
from kanad_solvers.result import Circuit, ElectronicState, Result
from kanad_solvers.run import Watch
from kanad_solvers.spec import Spec, VariationalEigensolver
from kanad_solvers.statevector import Ansatz

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

GRADIENT_TOLERANCE = 1e-6  # hartree/radian; the energy error is of second order in it
ENERGY_TOLERANCE = 1e-14  # relative change of the energy per iteration, just above rounding
COMPARED_DETERMINANTS = 20_000  # full CI beside the method takes less than a second up to here
VECTORS_HELD = 8  # state, image, the pair of both, and what the Hamiltonian needs


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest energy of the ansatz, with the circuit's size and the state's properties.

    Raises:
        InvalidSpec: the window does not fit the molecule.
        TooLarge: the state vector does not fit into the memory limit.
        NotConverged: the reference gave no finite energy.
    """
    assert isinstance(spec.method, VariationalEigensolver)
    last = 3
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    refuse_vector(window, spec)
    ansatz = uccsd_ansatz(window)
    watch.stage(1, last, f"UCCSD ansatz with {ansatz.parameters} parameters built")
    search = _Search(window, ansatz, watch)
    found = search.run(amplitudes.mp2_angles(window, ansatz), spec.method.max_iterations)
    watch.stage(2, last, "Parameters optimised" if found.converged else "Optimiser stopped", found.energy)
    result = _result(spec, window, ansatz, found, numerical_gradient(solve, spec, molecule, watch), watch)
    watch.stage(3, last, "Properties computed", result.energy_hartree)
    return result


def uccsd_ansatz(window: Window) -> Ansatz:
    """UCCSD over the window, out of its lowest determinant."""
    excitations, _ = statevector.uccsd(window.norb, window.nelec)
    return Ansatz(window.norb, window.nelec, excitations)


def circuit(ansatz: Ansatz) -> Circuit:
    """Size of the ansatz under Jordan-Wigner."""
    return Circuit(
        qubits=2 * ansatz.norb,
        parameters=ansatz.parameters,
        two_qubit_gates=statevector.two_qubit_gates(ansatz.norb, ansatz.excitations),
    )


def refuse_vector(window: Window, spec: Spec) -> None:
    """Raises TooLarge when state vectors over the window do not fit into the memory limit."""
    if window.norb > sampling.WIDEST_ORBITALS:
        raise TooLarge(
            f"state vectors take at most {sampling.WIDEST_ORBITALS} orbitals, got {window.norb}; take an active space",
            orbitals=window.norb,
            limit=sampling.WIDEST_ORBITALS,
        )
    needed = window.determinants * 8 * VECTORS_HELD / 1e6
    if needed > spec.limits.memory_mb:
        raise TooLarge(
            f"a state vector of {window.determinants} determinants needs {needed:.0f} MB, the limit is "
            f"{spec.limits.memory_mb} MB; take a smaller active space",
            determinants=window.determinants,
            needed_mb=round(needed),
            limit_mb=spec.limits.memory_mb,
        )


def compare(window: Window, spin: full_ci.Wanted, watch: Watch) -> dict[str, float]:
    """Energies to set beside the method's: Hartree-Fock always, full CI of that spin where it is cheap."""
    energies = {"hf": window.hf_energy}
    if window.determinants <= COMPARED_DETERMINANTS:
        energies["fci"] = full_ci.ground_energy(window, spin, watch)
    return energies


# Search


class _Found:
    """Where the search ended."""

    def __init__(self, angles: Array, energy: float, converged: bool) -> None:
        self.angles, self.energy, self.converged = angles, energy, converged


class _Search:
    """The energy of the ansatz as a function of its angles, and its minimisation."""

    def __init__(self, window: Window, ansatz: Ansatz, watch: Watch) -> None:
        self._window, self._ansatz, self._watch = window, ansatz, watch
        absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
        self._hamiltonian = ao2mo.restore(4, absorbed, window.norb)
        self._links = tuple(cistring.gen_linkstr_index_trilidx(range(window.norb), n) for n in window.nelec)
        self._evaluations = 0
        self._iteration = 0
        self._last: float | None = None
        self._slope = 0.0

    def run(self, start: Array, max_iterations: int) -> _Found:
        """Minimises from `start`, shape (parameters,); one report per iteration of the optimiser."""
        if start.size == 0:
            return _Found(start, self._window.hf_energy, True)  # one determinant only: nothing to turn
        from scipy.optimize import minimize

        ended = minimize(
            self._energy,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=self._report,
            options={"maxiter": max_iterations, "ftol": ENERGY_TOLERANCE, "gtol": GRADIENT_TOLERANCE},
        )
        self._watch.info(f"{self._iteration} iterations took {self._evaluations} energies with gradients")
        if not ended.success:
            self._watch.warn(
                f"the optimiser stopped after {self._iteration} iterations with a gradient of "
                f"{np.abs(ended.jac).max():.1e} hartree/radian: raise max_iterations"
            )
        return _Found(np.asarray(ended.x), float(ended.fun), bool(ended.success))

    def _energy(self, angles: Array) -> tuple[float, Array]:
        self._watch.check()
        self._evaluations += 1
        state = self._ansatz.state(angles)
        image = direct_spin1.contract_2e(
            self._hamiltonian,
            state.reshape(self._ansatz.shape),
            self._window.norb,
            self._window.nelec,
            self._links,
        ).ravel()
        slopes = self._ansatz.gradient(angles, state, image)
        self._slope = float(np.abs(slopes).max())
        return float(state @ image) + self._window.core_energy, slopes

    def _report(self, intermediate_result: Any) -> None:
        """Called by SciPy after each iteration, under this name of the argument."""
        self._iteration += 1
        energy = float(intermediate_result.fun)
        delta = None if self._last is None else energy - self._last
        self._watch.converge("vqe", self._iteration, energy, delta, self._slope)
        self._last = energy


def _result(spec: Spec, window: Window, ansatz: Ansatz, found: _Found, gradient: Array | None, watch: Watch) -> Result:
    vector = ansatz.state(found.angles).reshape(ansatz.shape)
    state = ElectronicState(
        index=0,
        energy_hartree=found.energy,
        excitation_ev=0.0,
        **properties.spin_fields(full_ci.s_squared(vector, window.norb, window.nelec)),
    )
    watch.state(state)
    rdm1 = direct_spin1.make_rdm1s(vector, window.norb, window.nelec)
    correlation = found.energy - window.hf_energy
    return Result(
        energy_hartree=found.energy,
        converged=found.converged and bool(window.field.converged),
        components=mean_field.components(window.field) | {"correlation_hartree": correlation},
        reference=mean_field.describe(window.field),
        states=(state,),
        orbitals=properties.orbitals(window.field.mo_energy, window.field.mo_occ),
        properties=active_space.correlated_properties(window, rdm1, "vqe", gradient),
        comparisons=compare(window, "singlet" if window.nelec[0] == window.nelec[1] else "any", watch),
        circuit=circuit(ansatz),
    )
