"""Variational quantum eigensolver on the exact state vector, with exact energies or with measured ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1

from kanad_solvers import (
    active_space,
    amplitudes,
    frames,
    full_ci,
    krylov,
    mean_field,
    mole,
    optimizers,
    properties,
    qasm,
    qse,
    sampling,
    shots,
    statevector,
)
from kanad_solvers.active_space import Window
from kanad_solvers.errors import TooLarge
from kanad_solvers.gradients import numerical_gradient
from kanad_solvers.optimizers import Found
from kanad_solvers.properties import Array
from kanad_solvers.result import Circuit, ElectronicState, Result, VariationalSearch
from kanad_solvers.run import Watch
from kanad_solvers.spec import ExcitedStates, Spec, VariationalEigensolver
from kanad_solvers.statevector import Ansatz

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "vqe"
VECTORS_HELD = 8  # state, image, the pair of both, and what the Hamiltonian needs
LEAKED = 1e-3  # weight outside the right number of electrons that is worth a warning


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An ansatz as the search sees it.

    Attributes:
        title: for whoever watches.
        start: first angles, shape (parameters,), radians.
        slopes: energy (hartree) and exact derivatives (hartree/radian) at some angles; None where there are none.
        state: the CI matrix at some angles, shape (na, nb), real or complex.
        energy: energy at some angles, hartree.
        circuit: its size.
        program: OpenQASM 3 at some angles, or None.
        kept: what the next point of a path can start from, at some angles; None where angles alone must do.
        stiffness: about how fast each slope grows with its own angle, hartree/radian^2; None where that is unknown.
    """

    title: str
    start: Array
    slopes: Callable[[Array], tuple[float, Array]] | None
    state: Callable[[Array], NDArray[Any]]
    energy: Callable[[Array], float]
    circuit: Circuit
    program: Callable[[Array], str | None]
    kept: Callable[[Array], dict[str, Array]] | None = None
    stiffness: Callable[[], Array] | None = None


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest energy of the ansatz with the state's properties; states around it for `excited_states`.

    Raises:
        InvalidSpec: the window does not fit the molecule, or the ansatz needs a package that is missing.
        TooLarge: the state vector does not fit into the memory limit.
        NotConverged: the reference gave no finite energy.
    """
    method = spec.method
    assert isinstance(method, VariationalEigensolver)
    last = 3
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    refuse_vector(window, spec)
    rng = np.random.default_rng(method.seed)
    trial = _trial(window, method, rng, watch)
    watch.stage(1, last, f"{trial.title} ansatz with {trial.start.size} parameters built")
    found = _search(window, trial, method, rng, watch)
    watch.stage(2, last, "Parameters optimised" if found.converged else "Optimiser stopped", found.energy)
    search = VariationalSearch(
        optimizer=method.optimizer,
        iterations=found.iterations,
        evaluations=found.evaluations,
        gradient_norm=found.gradient_norm,
    )
    if trial.kept is not None:
        watch.memory.keep(MEMORY, **trial.kept(found.angles))
    watch.qasm = None if watch.energies_only else trial.program(found.angles)
    vector = trial.state(found.angles)
    gradient = numerical_gradient(solve, spec, molecule, watch)
    energy = found.energy if method.shots is not None else trial.energy(found.angles)
    result = state_result(
        window, vector, energy, found.converged, "vqe", gradient, trial.circuit, search, watch, task=spec.task,
        memory_mb=spec.limits.memory_mb,
    )  # fmt: skip
    watch.stage(3, last, "Properties computed", result.energy_hartree)
    return result


def uccsd_ansatz(window: Window) -> Ansatz:
    """UCCSD over the window, out of its lowest determinant, without what vanishes by symmetry."""
    excitations, _ = statevector.uccsd(window.norb, window.nelec, window.orbsym)
    return Ansatz(window.norb, window.nelec, excitations)


def circuit(ansatz: Ansatz) -> Circuit:
    """Size of a product of excitation rotations under Jordan-Wigner."""
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


# Ansatz


def _trial(window: Window, method: VariationalEigensolver, rng: np.random.Generator, watch: Watch) -> Trial:
    make = {"uccsd": _uccsd, "hardware_efficient": _hardware_efficient, "lucj": _lucj}[method.ansatz]
    return make(window, method, rng, watch)


def _uccsd(window: Window, method: VariationalEigensolver, rng: np.random.Generator, watch: Watch) -> Trial:
    ansatz = uccsd_ansatz(window)
    exact = ExactEnergy(window, watch)
    return Trial(
        title="UCCSD",
        start=_lower_start(window, ansatz, exact, watch),
        slopes=lambda angles: exact.slopes(ansatz, angles),
        state=lambda angles: ansatz.state(angles).reshape(ansatz.shape),
        energy=lambda angles: exact.energy(ansatz.state(angles)),
        circuit=circuit(ansatz),
        program=lambda angles: qasm.program(ansatz, angles),
        kept=lambda angles: amplitudes.tensors(window, ansatz, angles),
        stiffness=lambda: ansatz.stiffness(exact.diagonal()),
    )


def _lower_start(window: Window, ansatz: Ansatz, exact: ExactEnergy, watch: Watch) -> Array:
    """First-order amplitudes, or those continued from the neighbours on a path where their energy is lower."""
    fresh = amplitudes.mp2_angles(window, ansatz)
    kept = watch.memory.recall(MEMORY)
    if kept is None or frames.FRAME not in kept:
        return fresh
    continued = amplitudes.continued_angles(kept, window, ansatz)
    if continued is None:
        return fresh
    return min(fresh, continued, key=lambda angles: exact.energy(ansatz.state(angles)))


def _hardware_efficient(
    window: Window, method: VariationalEigensolver, rng: np.random.Generator, watch: Watch
) -> Trial:
    from kanad_solvers.hardware_efficient import HardwareEfficient

    layered = HardwareEfficient(window, method.layers, watch)

    def state(angles: Array) -> Array:
        vector, weight = layered.inside(layered.state(angles))
        if 1 - weight > LEAKED:
            watch.warn(f"{100 * (1 - weight):.2f}% of the state has another number of electrons; raise layers")
        return vector

    filled = [*range(window.nelec[0]), *(window.norb + p for p in range(window.nelec[1]))]
    return Trial(
        title="hardware-efficient",
        start=layered.start(rng),
        slopes=layered.slopes,
        state=state,
        energy=lambda angles: layered.energy(layered.state(angles)),
        circuit=layered.circuit(),
        program=lambda angles: qasm.layered(layered.qubits, filled, angles),
    )


def _lucj(window: Window, method: VariationalEigensolver, rng: np.random.Generator, watch: Watch) -> Trial:
    from kanad_solvers.lucj import Jastrow

    jastrow = Jastrow(window, method.layers, watch)
    apply = krylov.hamiltonian(window, jastrow.shape)

    def energy(parameters: Array) -> float:
        watch.check()
        state = jastrow.state(parameters)
        return float(np.vdot(state, apply(state)).real) + window.core_energy

    return Trial(
        title="LUCJ",
        start=jastrow.start(),
        slopes=None,
        state=jastrow.state,
        energy=energy,
        circuit=jastrow.circuit(),
        program=lambda _: None,
    )


class ExactEnergy:
    """<H> and its derivatives on the state vector of a product of excitation rotations."""

    def __init__(self, window: Window, watch: Watch) -> None:
        self._window, self._watch = window, watch
        absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
        self._hamiltonian = ao2mo.restore(4, absorbed, window.norb)
        self._links = tuple(cistring.gen_linkstr_index_trilidx(range(window.norb), n) for n in window.nelec)
        self._shape = tuple(len(link) for link in self._links)

    def image(self, state: Array) -> Array:
        """H|state> without the core energy, shape (na * nb,)."""
        window = self._window
        made = direct_spin1.contract_2e(
            self._hamiltonian, state.reshape(self._shape), window.norb, window.nelec, self._links
        )
        return np.asarray(made).ravel()

    def diagonal(self) -> Array:
        """Energies of the determinants without the core energy, shape (na * nb,), hartree."""
        window = self._window
        return np.asarray(direct_spin1.make_hdiag(window.h1, window.eri, window.norb, window.nelec)).ravel()

    def energy(self, state: Array) -> float:
        """Total energy of a normalised state, hartree."""
        return float(state @ self.image(state)) + self._window.core_energy

    def slopes(self, ansatz: Ansatz, angles: Array) -> tuple[float, Array]:
        """Total energy, and its derivatives by the angles in hartree/radian."""
        self._watch.check()
        state = ansatz.state(angles)
        image = self.image(state)
        return float(state @ image) + self._window.core_energy, ansatz.gradient(angles, state, image)


# Search


def _search(
    window: Window, trial: Trial, method: VariationalEigensolver, rng: np.random.Generator, watch: Watch
) -> Found:
    """Minimises from the start, or from where a lost attempt was; one report per iteration of the optimiser."""
    start = _resumed(trial.start, watch)
    if start.size == 0:  # one determinant only: nothing to turn
        return Found(angles=start, energy=window.hf_energy, converged=True, iterations=0, evaluations=0)
    report = _Meter(watch)
    if method.shots is not None:
        return _measured(window, trial, method, start, rng, report, watch)
    if method.optimizer in ("l-bfgs-b", "slsqp"):
        slopes = trial.slopes or _by_differences(trial.energy)
        stiffness = None if trial.stiffness is None else trial.stiffness()
        found = optimizers.by_gradient(method.optimizer, slopes, start, method.max_iterations, report, stiffness)
    else:
        found = optimizers.without_gradient(
            method.optimizer, _penalised(trial), start, method.max_iterations, report, rng
        )
    _say(found, watch)
    return found


def _resumed(start: Array, watch: Watch) -> Array:
    kept = watch.recall(MEMORY, "circuit parameters")
    return kept["angles"] if kept is not None and "angles" in kept and kept["angles"].shape == start.shape else start


def _penalised(trial: Trial) -> Callable[[Array], float]:
    """What is minimised without slopes: with the penalty on electrons where the slopes have it."""
    slopes = trial.slopes
    if trial.title == "hardware-efficient" and slopes is not None:
        return lambda angles: slopes(angles)[0]
    return trial.energy


def _by_differences(energy: Callable[[Array], float]) -> Callable[[Array], tuple[float, Array]]:
    """Slopes by central differences, for an ansatz without exact ones."""
    step = 1e-5

    def slopes(angles: Array) -> tuple[float, Array]:
        made = np.zeros_like(angles)
        for place in range(angles.size):
            shift = np.zeros_like(angles)
            shift[place] = step
            made[place] = (energy(angles + shift) - energy(angles - shift)) / (2 * step)
        return energy(angles), made

    return slopes


def _measured(
    window: Window,
    trial: Trial,
    method: VariationalEigensolver,
    start: Array,
    rng: np.random.Generator,
    report: optimizers.Report,
    watch: Watch,
) -> Found:
    """The search on energies from a finite number of measurements."""
    assert method.shots is not None
    measurement = shots.Measurement(window, method.shots, rng)
    errors: list[float] = []

    def energy(angles: Array) -> float:
        watch.check()
        value, error = measurement.estimate(trial.state(angles))
        errors.append(error)
        return value

    found = optimizers.without_gradient(method.optimizer, energy, start, method.max_iterations, report, rng)
    _say(found, watch)
    watch.warn(
        f"the energy is an average over {method.shots} shots, with a standard error of {errors[-1]:.1e} hartree; it "
        "may lie below the exact one"
    )
    return found


def _say(found: Found, watch: Watch) -> None:
    watch.info(f"{found.iterations} iterations took {found.evaluations} energies")
    if not found.converged:
        slope = "" if found.gradient_norm is None else f" with a gradient of {found.gradient_norm:.1e} hartree/radian"
        watch.warn(f"the optimiser stopped after {found.iterations} iterations{slope}: raise max_iterations")


class _Meter:
    """Reports each iteration of an optimiser and keeps its angles."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._iteration = 0
        self._last: float | None = None

    def __call__(self, angles: Array, energy: float, slope: float | None) -> None:
        self._iteration += 1
        delta = None if self._last is None else energy - self._last
        self._watch.memory.keep(MEMORY, angles=angles.copy())
        self._watch.converge("vqe", self._iteration, energy, delta, slope)
        self._last = energy


# Result


def state_result(
    window: Window,
    vector: NDArray[Any],
    energy: float,
    converged: bool,
    label: str,
    gradient: Array | None,
    size: Circuit,
    search: VariationalSearch,
    watch: Watch,
    *,
    task: Any = None,
    memory_mb: int = 0,
) -> Result:
    """The result of a variational state, shape (na, nb), real or complex; with states around it if the task asks."""
    if isinstance(task, ExcitedStates):
        ground, above = qse.expand(window, _real(vector), task, memory_mb, watch)
        states = full_ci.electronic_states(window, ground, above)
        energy = states[0].energy_hartree
        vector = ground.vectors[0]
    else:
        spin = full_ci.expectation_s_squared(vector, window.norb, window.nelec)
        states = (ElectronicState(index=0, energy_hartree=energy, excitation_ev=0.0, **properties.spin_fields(spin)),)
    for state in states:
        watch.state(state)
    rdm1 = _density(vector, window)
    return Result(
        energy_hartree=energy,
        converged=converged and bool(window.field.converged),
        components=mean_field.components(window.field) | {"correlation_hartree": energy - window.hf_energy},
        reference=mean_field.describe(window.field),
        states=states,
        orbitals=properties.orbitals(window.field.mo_energy, window.field.mo_occ),
        properties=active_space.correlated_properties(window, rdm1, label, gradient),
        comparisons=full_ci.compare(window, "singlet" if window.nelec[0] == window.nelec[1] else "any", watch),
        circuit=size,
        search=search,
    )


def _real(vector: NDArray[Any]) -> Array:
    """The state with its largest amplitude real, which real Hamiltonians allow; what stays imaginary is dropped."""
    if not np.iscomplexobj(vector):
        return vector
    largest = vector.ravel()[np.argmax(np.abs(vector))]
    turned = (vector * (abs(largest) / largest)).real
    return np.asarray(turned / np.linalg.norm(turned))


def _density(vector: NDArray[Any], window: Window) -> tuple[Array, Array]:
    """Alpha and beta one-body density matrices, each shape (norb, norb); the real part of a complex state's."""
    parts = [vector.real, vector.imag] if np.iscomplexobj(vector) else [vector]
    made = [
        direct_spin1.make_rdm1s(np.ascontiguousarray(part), window.norb, window.nelec) for part in parts if part.any()
    ]
    return sum(pair[0] for pair in made), sum(pair[1] for pair in made)
