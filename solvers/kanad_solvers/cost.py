"""What a spec will cost, before anything runs.

Basis functions, determinants and qubits are exact. Seconds and memory are models, one per kind of work, with
constants fitted to runs of small molecules on one core (`make bench-cost` holds them against runs); `speed` measures
once how fast this machine is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from kanad_solvers import basis as basis_sets
from kanad_solvers.elements import core_orbitals
from kanad_solvers.prepare import Estimate, Parsed
from kanad_solvers.registry import GRADIENT_METHODS
from kanad_solvers.spec import (
    AdaptiveEigensolver,
    Configurations,
    Correlated,
    DensityFunctional,
    Energy,
    ExcitedStates,
    Frequencies,
    KrylovDiagonalization,
    MeanField,
    MollerPlesset,
    Optimize,
    OptimizedActiveSpace,
    PerturbativeTriples,
    Probe,
    SampleBasedDiagonalization,
    SampledSubspace,
    Scan,
    SelectedCI,
    Spec,
    VariationalEigensolver,
    name_of,
)

MAX_DETERMINANTS_FCI = 100_000_000
MAX_DETERMINANTS_STATEVECTOR = 20_000_000
MAX_DETERMINANTS_VQE = 2_000_000
MAX_QUBITS_HARDWARE_EFFICIENT = 16
MAX_BASIS_FUNCTIONS = 2_000
MAX_BASIS_FUNCTIONS_CORRELATED = 400
"""The integral transformation keeps N^4/8 numbers in memory."""
SUBSPACE_VECTORS = 60
"""Vectors over an SQD subspace that an attempt may have in its address space; 30 of them were seen resident."""
WORKER_MB = 150.0
BYTES = 8
MB = 2**20
RANGE = 3.0
"""The range of seconds is a factor of this to either side."""

# Seconds on the reference machine (one core of a 2 GHz server), fitted to bench/cost.py.
SCF_START_S = 7e-3
INTEGRAL_S = 7e-8
GRID_S = 5e-10
MP2_S = 3e-10
CCSD_S = 2.7e-10
TRIPLES_S = 2.5e-10
DETERMINANT_S = 3e-9
MACRO_START_S = 1.2e-2
MACRO_S = 1.2e-9
SUBSPACE_S = 4e-6
SELECTED_S = 6e-6
SAMPLED_S = 5e-7
ROTATION_S = 2e-9
CIRCUIT_START_S = 0.15
SHOTS_S = 6e-3
LAYERED_ENERGIES = 800
SCF_CYCLES = 12
CLUSTER_CYCLES = 12
DAVIDSON_CYCLES = 15
MACRO_CYCLES = 15
"""Of CASSCF: in each, integrals with two occupied or active orbitals are made, and the CI is solved a few times."""
GRID_POINTS = (2_000, 5_000, 8_000, 11_000, 18_000, 30_000, 45_000, 60_000, 80_000, 100_000)
"""Grid points of an atom at PySCF's levels 0 to 9, after pruning, roughly."""


class Price(NamedTuple):
    """Seconds, and megabytes beyond those of the worker itself."""

    seconds: float
    memory_mb: float


def basis_functions(spec: Spec, parsed: Parsed) -> int:
    """Basis functions of a molecule, or the orbitals of a Hamiltonian without nuclei."""
    if parsed.orbitals is not None:
        return parsed.orbitals
    return sum(basis_sets.size(spec.basis, symbol, spec.cartesian) or 0 for symbol in parsed.geometry.symbols)


def explicit_electrons(spec: Spec, parsed: Parsed) -> int:
    """Electrons that no effective core potential stands for."""
    return parsed.electrons - sum(basis_sets.ecp_electrons(spec.basis, symbol) for symbol in parsed.geometry.symbols)


def active(spec: Spec, parsed: Parsed, basis_functions: int) -> tuple[int, int, int]:
    """(orbitals, alpha electrons, beta electrons) of what is correlated."""
    electrons, orbitals = explicit_electrons(spec, parsed), basis_functions
    chosen = spec.active_space
    freezes = chosen is not None and chosen.frozen_core
    if freezes or (isinstance(spec.method, Correlated) and spec.method.frozen_core):
        frozen = sum(
            max(core_orbitals(symbol) - basis_sets.ecp_electrons(spec.basis, symbol) // 2, 0)
            for symbol in parsed.geometry.symbols
        )
        electrons, orbitals = electrons - 2 * frozen, orbitals - frozen
    elif chosen is not None and chosen.avas is not None:
        orbitals = min(orbitals, sum(_labelled(label, parsed) for label in chosen.avas))
        electrons = min(electrons, 2 * (orbitals // 2) + (parsed.multiplicity - 1) % 2)
    elif chosen is not None and chosen.electrons is not None and chosen.orbitals is not None:
        electrons, orbitals = chosen.electrons, chosen.orbitals
    unpaired = parsed.multiplicity - 1
    return orbitals, (electrons + unpaired) // 2, (electrons - unpaired) // 2


def _labelled(label: str, parsed: Parsed) -> int:
    """Atomic orbitals that an AVAS label names: the window has about as many orbitals."""
    *index, symbol, shell = label.split()
    atoms = 1 if index else parsed.geometry.symbols.count(symbol)
    return atoms * {"s": 1, "p": 3, "d": 5, "f": 7}[shell[-1]]


def determinants(orbitals: int, alpha: int, beta: int) -> int:
    """How many determinants there are, exactly."""
    if min(orbitals, alpha, beta) < 0:
        return 0
    return math.comb(orbitals, alpha) * math.comb(orbitals, beta)


@cache
def speed() -> float:
    """Seconds here for a second on the reference machine, from a job of a few milliseconds, run once."""
    import time

    import numpy as np

    rng = np.random.default_rng(0)
    matrix = rng.random((200, 200))
    best = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(4):
            np.linalg.eigh(matrix + matrix.T)
        best = min(best, time.perf_counter() - begun)
    return min(max(best / REFERENCE_JOB_S, 0.1), 10.0)


REFERENCE_JOB_S = 0.0105


def integral_seconds(functions: int) -> float:
    """Expected time of the two-electron integrals over so many basis functions; 0 where it is too short to matter."""
    return 0.0 if functions < SLOW_INTEGRALS else INTEGRAL_S * functions**4 / 8 * speed()


def transformation_seconds(functions: int) -> float:
    """Expected time of their transformation to molecular orbitals; 0 where it is too short to matter."""
    return 0.0 if functions < SLOW_INTEGRALS else MP2_S * functions**5 / 4 * speed()


SLOW_INTEGRALS = 100


def estimate(spec: Spec, parsed: Parsed) -> Estimate:
    """The price of a spec whose basis covers its elements."""
    functions = basis_functions(spec, parsed)
    if isinstance(spec.method, Probe):
        return Estimate(feasible=True, basis_functions=functions, memory_mb=100.0, seconds=(0.0, 60.0))
    work = _Work(spec, parsed, functions)
    single = work.energy()
    seconds = single.seconds * work.repetitions(single) * speed()
    memory_mb = WORKER_MB + single.memory_mb
    reason, suggestion = work.too_large()
    if reason is None and memory_mb > spec.limits.memory_mb:
        reason = f"about {memory_mb:.0f} MB are needed; limits.memory_mb is {spec.limits.memory_mb}"
    if reason is not None and suggestion is None:
        suggestion = work.smaller() or "take a smaller basis"
    return Estimate(
        feasible=reason is None,
        basis_functions=functions,
        memory_mb=round(memory_mb, 1),
        seconds=(_rounded(seconds / RANGE), _rounded(seconds * RANGE)),
        determinants=work.determinants,
        qubits=work.qubits,
        reason=reason,
        suggestion=suggestion,
    )


def _rounded(seconds: float) -> float:
    return round(min(seconds, 1e12), 4)


class _Work:
    """What a spec asks for, in numbers."""

    def __init__(self, spec: Spec, parsed: Parsed, functions: int) -> None:
        self.spec, self.method, self.functions = spec, spec.method, functions
        self.atoms = len(parsed.geometry.symbols)
        self.orbitals, self.alpha, self.beta = active(spec, parsed, functions)
        self.core = (explicit_electrons(spec, parsed) - self.alpha - self.beta) // 2
        self.is_restricted = parsed.multiplicity == 1 and getattr(spec.method, "reference", "auto") != "uhf"
        self._count = determinants(self.orbitals, self.alpha, self.beta)

    @property
    def determinants(self) -> int | None:
        """Determinants over the window; None where the method has none."""
        return None if isinstance(self.method, MeanField | Correlated) else self._count

    @property
    def qubits(self) -> int | None:
        """Qubits under Jordan-Wigner; None where the method has no window."""
        return None if isinstance(self.method, MeanField | Correlated) else 2 * self.orbitals

    # Prices

    def energy(self) -> Price:
        """One energy (or one set of excited states) at one geometry."""
        field = self._field()
        if isinstance(self.method, MeanField):
            return self._response(field) if isinstance(self.spec.task, ExcitedStates) else field
        if isinstance(self.method, Correlated):
            return self._cluster(field)
        return self._window(field)

    def _field(self) -> Price:
        n = self.functions
        spins = 1 if self.is_restricted else 2
        integrals = n**4 / 8 * BYTES / MB
        incore = integrals < self.spec.limits.memory_mb * 0.5
        seconds = SCF_START_S + INTEGRAL_S * n**4 / 8 * (1 if incore else SCF_CYCLES) * spins
        seconds += SCF_CYCLES * 2e-9 * n**4 / 8 * spins + SCF_CYCLES * 1e-4
        memory_mb = 20 * n**2 * BYTES / MB + (integrals if incore else 0.0)
        if isinstance(self.method, DensityFunctional):
            points = GRID_POINTS[self.method.grid_level] * self.atoms
            seconds += GRID_S * points * n * min(n, 150) * SCF_CYCLES * spins + 3e-6 * points
            memory_mb += min(points * n * BYTES / MB * 4, 600)
        if spins == 2:
            seconds *= 4  # the stability analysis, and what is followed
        if self.spec.solvent is not None:
            seconds = 4 * seconds + 0.6 * self.atoms  # the gas phase first, then the surface in every cycle
        return Price(seconds, memory_mb)

    def _response(self, field: Price) -> Price:
        task = self.spec.task
        assert isinstance(task, ExcitedStates)
        each = 6.0 if isinstance(self.method, DensityFunctional) else 1.5
        return Price(field.seconds * (1 + each * task.n_states) + 0.02, field.memory_mb + 2 * task.n_states)

    def _cluster(self, field: Price) -> Price:
        n, occupied = self.orbitals, max(self.alpha, 1)
        empty = max(n - occupied, 1)
        spins = 1 if self.is_restricted else 4
        transformed = n**4 / 8 * BYTES / MB
        if isinstance(self.method, MollerPlesset):
            return Price(field.seconds + MP2_S * occupied * n**4, field.memory_mb + transformed)
        cycles = CLUSTER_CYCLES * (2 if isinstance(self.spec.task, Energy) else 1)
        each_s = 1e-3 if self.is_restricted else 1.5e-2  # of Python, beside the arithmetic
        seconds = field.seconds + spins * cycles * (each_s + CCSD_S * occupied**2 * empty**4)
        if isinstance(self.method, PerturbativeTriples):
            seconds += spins * TRIPLES_S * occupied**3 * empty**4
        if isinstance(self.spec.task, ExcitedStates):
            seconds += spins * 8 * self.spec.task.n_states * cycles * (1e-3 + CCSD_S * occupied**2 * empty**4)
        doubles = 14 * occupied**2 * empty**2 * BYTES / MB
        return Price(seconds, field.memory_mb + spins * (doubles + 2 * transformed))

    def _window(self, field: Price) -> Price:
        n, method = self.orbitals, self.method
        base = Price(field.seconds + 2e-9 * self.functions**4 * n, field.memory_mb + BYTES * (n**4 / 4) / MB)
        count = min(self._count, 10**18)
        _, vectors = self._demand()
        memory_mb = base.memory_mb + BYTES * vectors * count / MB
        if isinstance(method, Configurations):
            roots = self._roots()
            one = DETERMINANT_S * count * n * max(self.alpha, 1) * DAVIDSON_CYCLES * roots
            if isinstance(method, OptimizedActiveSpace):
                rotation = MACRO_START_S + MACRO_S * self.functions**4 * (self.core + n)
                one = MACRO_CYCLES * (rotation + 2.5 * one)
            return Price(base.seconds + one, memory_mb)
        if isinstance(method, SampledSubspace):
            return self._sampled(base, method, count)
        if isinstance(method, SelectedCI):
            size = min(count, 2_000_000)
            grown = size**0.75 * (1e-3 / method.epsilon) ** 1.2  # fitted
            return Price(base.seconds + SELECTED_S * min(grown, size) * 5, base.memory_mb + BYTES * 20 * size / MB)
        assert isinstance(method, VariationalEigensolver | AdaptiveEigensolver)
        return self._circuit(base, count, memory_mb)

    def _roots(self) -> int:
        task = self.spec.task
        assert isinstance(self.method, Configurations)
        return task.n_states + 1 if isinstance(task, ExcitedStates) else self.method.n_states

    def _sampled(self, base: Price, method: SampledSubspace, count: int) -> Price:
        size = self.subspace(method)
        states = self.spec.task.n_states + 1 if isinstance(self.spec.task, ExcitedStates) else method.n_states
        seconds = base.seconds + SUBSPACE_S * size * method.n_batches * method.max_iterations
        memory_mb = base.memory_mb + BYTES * SUBSPACE_VECTORS * states * size / MB
        limit, vectors = self._demand()
        if limit is not None:
            seconds += SAMPLED_S * count
            memory_mb += BYTES * vectors * count / MB
        if isinstance(method, KrylovDiagonalization):
            seconds += CIRCUIT_START_S + method.krylov_dim * 30 * DETERMINANT_S * count * self.orbitals
        return Price(seconds, memory_mb)

    def subspace(self, method: SampledSubspace) -> int:
        """The most determinants that one batch can span; equal numbers of both spins share their strings."""
        strings = method.samples_per_batch * (2 if self.alpha == self.beta else 1)
        return min(strings, math.comb(self.orbitals, self.alpha)) * min(strings, math.comb(self.orbitals, self.beta))

    def _circuit(self, base: Price, count: int, memory_mb: float) -> Price:
        n, pairs = self.orbitals, max(self.alpha * (self.orbitals - self.alpha), 1)
        rotations = 2 * pairs**2 + pairs
        per_energy = 1e-4 + ROTATION_S * count * rotations + DETERMINANT_S * count * n * max(self.alpha, 1)
        evaluations = 40.0
        if isinstance(self.method, AdaptiveEigensolver):
            evaluations = 80.0
        elif isinstance(self.method, VariationalEigensolver):
            if self.method.optimizer in ("cobyla", "spsa"):
                evaluations = 3.0 * self.method.max_iterations
            elif self.method.ansatz == "hardware_efficient":
                evaluations = LAYERED_ENERGIES
            per_energy += 0.0 if self.method.shots is None else SHOTS_S
        return Price(CIRCUIT_START_S + base.seconds + evaluations * per_energy, memory_mb)

    def repetitions(self, single: Price) -> float:
        """How many single energies the task is worth."""
        task, analytic = self.spec.task, name_of(self.method) in GRADIENT_METHODS
        if isinstance(task, Scan):
            points = task.points if task.values is None else len(task.values)
            return 0.8 * (points or 1)
        if isinstance(task, Optimize):
            return 3.0 * min(task.max_steps, 4 + self.atoms)
        if isinstance(task, Frequencies):
            steps = 3.0 * (4 + self.atoms) if task.optimize_first else 1.0
            hessian = 24.0 + 6 * self.atoms
            # On a grid an energy costs more, and the Hessian the fewer of them.
            return steps + (0.5 * hessian if isinstance(self.method, DensityFunctional) else hessian)
        if isinstance(task, Energy) and task.gradient:
            if isinstance(self.method, MollerPlesset):
                return 14.0  # of a short energy: the gradient solves for the response of the orbitals
            return 2.0 if analytic else 6.0 * self.atoms + 1
        return 1.0

    # Limits

    def _demand(self) -> tuple[int | None, int]:
        """(limit on determinants, vectors of that length in memory)."""
        method = self.method
        if isinstance(method, VariationalEigensolver | AdaptiveEigensolver):
            return MAX_DETERMINANTS_VQE, 8
        if isinstance(method, KrylovDiagonalization):
            return MAX_DETERMINANTS_STATEVECTOR, 24
        if isinstance(method, SampleBasedDiagonalization):
            samples_vector = method.sampler in ("uccsd", "lucj")
            return (MAX_DETERMINANTS_STATEVECTOR, 4) if samples_vector else (None, 0)
        if isinstance(method, Configurations):
            return MAX_DETERMINANTS_FCI, 12 + 4 * self._roots()
        return None, 0

    def too_large(self) -> tuple[str | None, str | None]:
        """(why it is beyond a limit, what would fit), where it is."""
        limit = MAX_BASIS_FUNCTIONS if isinstance(self.method, MeanField) else MAX_BASIS_FUNCTIONS_CORRELATED
        if self.functions > limit:
            return f"{self.functions} basis functions; the limit is {limit}", None
        limit_determinants, _ = self._demand()
        if limit_determinants is not None and self._count > limit_determinants:
            where = f"({self.alpha}+{self.beta} electrons in {self.orbitals} orbitals)"
            return f"{self._count} determinants {where}; the limit is {limit_determinants}", None
        method = self.method
        if isinstance(method, VariationalEigensolver) and method.ansatz == "hardware_efficient":
            most = MAX_QUBITS_HARDWARE_EFFICIENT
            if 2 * self.orbitals > most:
                return f"{2 * self.orbitals} qubits; hardware_efficient takes at most {most}", self._narrower(most // 2)
        if isinstance(method, SampledSubspace):
            return self._wide_subspace(method)
        return None, None

    def _wide_subspace(self, method: SampledSubspace) -> tuple[str | None, str | None]:
        price = self.energy()
        without = self._window_without_subspace()
        available = self.spec.limits.memory_mb - WORKER_MB
        if price.memory_mb > available > without:
            size = self.subspace(method)
            reason = f"subspaces of up to {size} determinants need about {price.memory_mb - without:.0f} MB"
            return reason, "take fewer samples_per_batch or n_states, or raise limits.memory_mb"
        return None, None

    def _window_without_subspace(self) -> float:
        _, vectors = self._demand()
        count = min(self._count, 10**18)
        return self._field().memory_mb + BYTES * (self.orbitals**4 / 4 + vectors * count) / MB

    def smaller(self) -> str | None:
        """The largest window around the Fermi level that fits; None where the method has no window."""
        limit, vectors = self._demand()
        if limit is None:
            return None
        affordable = min(limit, int(self.spec.limits.memory_mb * MB / 2 / BYTES / max(vectors, 1)))
        for alpha, beta, norb in _windows(self.orbitals, (self.alpha, self.beta)):
            if determinants(norb, alpha, beta) <= affordable:
                return _suggested(alpha + beta, norb)
        return None

    def _narrower(self, orbitals: int) -> str | None:
        for alpha, beta, norb in _windows(self.orbitals, (self.alpha, self.beta)):
            if norb <= orbitals:
                return _suggested(alpha + beta, norb)
        return None


def _suggested(electrons: int, orbitals: int) -> str:
    return f'"active_space": {{"electrons": {electrons}, "orbitals": {orbitals}}} would fit'


def _windows(orbitals: int, electrons: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Smaller and smaller windows: an orbital is taken from where there are more, empty or filled."""
    alpha, beta = electrons
    norb = orbitals
    while norb > max(alpha, 2):
        if norb - alpha > beta or beta <= 1:
            norb -= 1
        else:
            alpha, beta, norb = alpha - 1, beta - 1, norb - 1
        yield alpha, beta, norb
