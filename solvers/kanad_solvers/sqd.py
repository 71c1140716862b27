"""Sample-based quantum diagonalisation: sample bitstrings, recover them, diagonalise what they span, repeat.

Robledo-Moreno et al., Sci. Adv. 11, eadu9991 (2025). Sampling is done on an exact state vector, or on counts
measured elsewhere; everything after it is what would follow a run on a device. With `krylov_sqd` the samples are
those of time-evolved states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kanad_solvers import (
    active_space,
    amplitudes,
    full_ci,
    krylov,
    mean_field,
    mole,
    properties,
    sampling,
    selected_ci,
    vqe,
)
from kanad_solvers.active_space import Window
from kanad_solvers.errors import InvalidSpec, TooLarge
from kanad_solvers.gradients import numerical_gradient
from kanad_solvers.properties import Array
from kanad_solvers.result import Circuit, ElectronicState, Result, Sampling, SamplingIteration
from kanad_solvers.run import Watch
from kanad_solvers.sampling import Samples, Strings
from kanad_solvers.spec import (
    ExcitedStates,
    KrylovDiagonalization,
    SampleBasedDiagonalization,
    SampledSubspace,
    Spec,
    name_of,
)
from kanad_solvers.subspace import Solution, Subspace, refuse_size

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "sqd"
CARRIED_AMPLITUDE = 1e-4  # strings of the best state with a larger amplitude stay; as in qiskit-addon-sqd
ENERGY_STABLE = 1e-8  # hartree
OCCUPANCIES_STABLE = 1e-5
COMPARED_DETERMINANTS = 40_000  # selected CI beside the method takes seconds at most up to here


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What was sampled, noise included, and the circuit that was sampled, if there was one."""

    samples: Samples
    source: str
    count: int
    circuit: Circuit | None = None


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest states in the sampled subspace; variational: never below full CI in the window.

    Raises:
        InvalidSpec: the window, the counts or the number of states do not fit the molecule.
        TooLarge: more orbitals than a string has bits for, or vectors beyond the memory limit.
        NotConverged: the reference gave no finite energy.
    """
    method = _options(spec)
    listed = spec.task.n_states + 1 if isinstance(spec.task, ExcitedStates) else method.n_states
    last = 3 + listed
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    _refuse(window, listed)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    rng = np.random.default_rng(method.seed)
    measured = _sample(spec, window, rng, watch)
    search = _Search(spec, window, measured.samples, rng, watch)
    pool = search.first_pool()
    watch.stage(1, last, "Subspace basis generated")
    subspaces = search.subspaces(pool)
    watch.stage(2, last, "Hamiltonian projected")
    space, best = search.run(subspaces)
    watch.stage(3, last, "Hamiltonian diagonalised", float(best.energies[0]))
    states = _states(space, best, spec, watch)
    for state in states:
        watch.state(state)
        watch.stage(4 + state.index, last, f"State {state.index}", state.energy_hartree)
    gradient = numerical_gradient(solve, spec, molecule, watch)
    rdm1 = space.rdm1(best.vectors[0])
    energy = states[0].energy_hartree
    sentence = active_space.other_spin(window, states[0].s_squared or 0.0)
    return Result(
        energy_hartree=energy,
        converged=search.converged and best.converged and bool(window.field.converged),
        components=mean_field.components(window.field) | {"correlation_hartree": energy - window.hf_energy},
        reference=mean_field.describe(window.field),
        states=states,
        orbitals=properties.orbitals(window.field.mo_energy, window.field.mo_occ),
        properties=active_space.correlated_properties(window, rdm1, name_of(spec.method), gradient),
        comparisons=_comparisons(window, space, watch),
        circuit=measured.circuit,
        sampling=Sampling(
            sampler=measured.source,
            samples=measured.count,
            distinct=len(measured.samples),
            valid_fraction=measured.samples.fraction(window.nelec),
            determinants=space.size,
            iterations=tuple(search.rounds),
        ),
        warnings=() if sentence is None else (sentence,),
    )


def _options(spec: Spec) -> SampledSubspace:
    assert isinstance(spec.method, SampledSubspace)
    return spec.method


def _wanted(spec: Spec) -> int:
    """Roots that the subspace is asked for: more than listed where only one spin is."""
    if not isinstance(spec.task, ExcitedStates):
        return _options(spec).n_states
    listed = spec.task.n_states + 1
    return listed if spec.task.spin == "any" else 2 * listed + 4


def _refuse(window: Window, listed: int) -> None:
    if window.norb > sampling.WIDEST_ORBITALS:
        raise TooLarge(
            f"sqd takes at most {sampling.WIDEST_ORBITALS} orbitals, got {window.norb}; take an active space",
            orbitals=window.norb,
            limit=sampling.WIDEST_ORBITALS,
        )
    if listed > window.determinants:
        raise InvalidSpec.at(
            "$.method.n_states",
            f"at most {window.determinants} states exist in this window, got {listed}",
        )


# Samples


def _sample(spec: Spec, window: Window, rng: np.random.Generator, watch: Watch) -> _Measured:
    method = _options(spec)
    if isinstance(method, KrylovDiagonalization):
        measured = _krylov(spec, method, window, rng, watch)
    else:
        assert isinstance(method, SampleBasedDiagonalization)
        measured = _from_sampler(spec, method, window, rng, watch)
    noisy = sampling.with_noise(measured.samples, measured.count, method.noise, rng)
    return _Measured(samples=noisy, source=measured.source, count=measured.count, circuit=measured.circuit)


def _krylov(
    spec: Spec, method: KrylovDiagonalization, window: Window, rng: np.random.Generator, watch: Watch
) -> _Measured:
    """Samples of each time-evolved state, the same number of each."""
    vqe.refuse_vector(window, spec)
    strings = sampling.all_strings(window.norb, window.nelec)
    each = max(method.n_samples // method.krylov_dim, 1)
    parts = [
        sampling.from_state(state, strings, window.norb, each, rng)
        for state in krylov.evolved_states(window, method.krylov_dim, method.time_step, watch)
    ]
    return _Measured(samples=sampling.merge(parts), source="krylov", count=each * method.krylov_dim)


def _from_sampler(
    spec: Spec, method: SampleBasedDiagonalization, window: Window, rng: np.random.Generator, watch: Watch
) -> _Measured:
    if method.sampler == "counts":
        if not method.counts:
            raise InvalidSpec.at("$.method.counts", "sampler counts needs at least one bitstring")
        samples = sampling.from_counts(method.counts, window.norb)
        return _Measured(samples=samples, source="counts", count=sum(method.counts.values()))
    if method.sampler == "uniform":
        samples = sampling.uniform(window.norb, method.n_samples, rng)
        return _Measured(samples=samples, source="uniform", count=method.n_samples)
    vqe.refuse_vector(window, spec)
    strings = sampling.all_strings(window.norb, window.nelec)
    circuit, vector = _prepared(window, method, watch)
    samples = sampling.from_state(vector, strings, window.norb, method.n_samples, rng)
    return _Measured(samples=samples, source=method.sampler, count=method.n_samples, circuit=circuit)


def _prepared(
    window: Window, method: SampleBasedDiagonalization, watch: Watch
) -> tuple[Circuit, NDArray[np.inexact[Any]]]:
    """The circuit with CCSD amplitudes and its state, shape (na, nb)."""
    if method.sampler == "lucj":
        from kanad_solvers import lucj

        return lucj.sampled(window, method.layers, watch)
    ansatz = vqe.uccsd_ansatz(window)
    angles = amplitudes.ccsd_angles(window, ansatz, watch)
    return vqe.circuit(ansatz), ansatz.state(angles, watch.check).reshape(ansatz.shape)


def _comparisons(window: Window, space: Subspace, watch: Watch) -> dict[str, float]:
    """Hartree-Fock, selected CI with about as many determinants, and full CI where they are cheap."""
    energies = full_ci.compare(window, "any", watch)
    if space.size <= COMPARED_DETERMINANTS and not watch.energies_only:
        energies["selected_ci"] = selected_ci.comparison_energy(window, space.size, watch)
    return energies


# Iterations


class _Search:
    """The self-consistent iterations; `converged` says whether they came to rest."""

    def __init__(self, spec: Spec, window: Window, samples: Samples, rng: np.random.Generator, watch: Watch) -> None:
        self._method, self._window = _options(spec), window
        self._memory_mb = spec.limits.memory_mb
        self._samples, self._rng, self._watch = samples, rng, watch
        self._roots = min(_wanted(spec), window.determinants)
        self._resumed = _resumed(window, watch)
        self.rounds: list[SamplingIteration] = []
        self._best: tuple[Subspace, Solution] | None = None
        self._occupancies: tuple[Array, Array] | None = None
        self.converged = False

    def first_pool(self) -> Samples:
        """The samples with the right electrons; recovered from Hartree-Fock occupancies if there are none."""
        window = self._window
        right = self._samples.with_electrons(window.nelec)
        if len(right):
            return right
        self._watch.info("no sample has the right number of electrons; recovering from Hartree-Fock occupancies")
        filled = [np.where(np.arange(window.norb) < n, 1.0, 0.0) for n in window.nelec]
        return sampling.recover(self._samples, window.nelec, (filled[0], filled[1]), self._rng)

    def subspaces(self, pool: Samples) -> list[Subspace]:
        """One subspace per batch."""
        method = self._method
        drawn = sampling.batches(pool, method.samples_per_batch, method.n_batches, self._rng)
        return [Subspace(self._window, self._strings(batch)) for batch in drawn]

    def run(self, subspaces: list[Subspace]) -> tuple[Subspace, Solution]:
        """Iterates to rest or to `max_iterations`; the best subspace and its states."""
        method = self._method
        for iteration in range(1, method.max_iterations + 1):
            energy, moved = self._iterate(iteration, subspaces)
            if self.converged:
                break
            if iteration == method.max_iterations:
                self._watch.warn(
                    f"sqd was still moving after {iteration} iterations (energy {abs(energy):.1e} hartree, "
                    f"occupancies {moved:.1e}): raise max_iterations or samples_per_batch"
                )
                break
            assert self._occupancies is not None
            subspaces = self.subspaces(
                sampling.recover(self._samples, self._window.nelec, self._occupancies, self._rng)
            )
        assert self._best is not None
        return self._best

    def _iterate(self, iteration: int, subspaces: list[Subspace]) -> tuple[float, float]:
        """One iteration: how far the best energy and the occupancies moved."""
        before = None if self._best is None else self._best[1]
        solved = [(space, space.lowest(self._roots, before, self._watch)) for space in subspaces]
        lowest = min(solved, key=lambda pair: float(pair[1].energies[0]))
        if before is None or lowest[1].energies[0] < before.energies[0]:
            self._best = lowest
        assert self._best is not None
        energy = float(self._best[1].energies[0])
        delta = None if before is None else energy - float(before.energies[0])
        moved = self._average(solved)
        self._watch.converge("sqd", iteration, energy, delta, moved)
        self._note(energy, max(space.size for space, _ in solved))
        complete = self._best[0].size == self._window.determinants
        resting = delta is not None and abs(delta) < ENERGY_STABLE and (moved or 0.0) < OCCUPANCIES_STABLE
        self.converged = complete or resting
        return delta or 0.0, moved or 0.0

    def _note(self, energy: float, size: int) -> None:
        """Keeps what the round came to, for the result and for a lost attempt."""
        assert self._occupancies is not None
        assert self._best is not None
        alpha, beta = self._occupancies
        self.rounds.append(
            SamplingIteration(
                energy_hartree=energy,
                determinants=size,
                occupancies_alpha=tuple(alpha.tolist()),
                occupancies_beta=tuple(beta.tolist()),
            )
        )
        strings = self._best[1].strings
        self._watch.memory.keep(MEMORY, alpha=strings[0], beta=strings[1], norb=np.array(self._window.norb))
        self._watch.info(f"iteration {len(self.rounds)}: subspaces of up to {size} determinants")

    def _average(self, solved: list[tuple[Subspace, Solution]]) -> float | None:
        """Takes the mean occupancies over the batches; how far they moved, None the first time."""
        densities = [space.rdm1(solution.vectors[0]) for space, solution in solved]
        alpha = np.mean([density[0].diagonal() for density in densities], axis=0)
        beta = np.mean([density[1].diagonal() for density in densities], axis=0)
        before, self._occupancies = self._occupancies, (alpha, beta)
        if before is None:
            return None
        return float(max(np.abs(alpha - before[0]).max(), np.abs(beta - before[1]).max()))

    def _strings(self, batch: Samples) -> tuple[Strings, Strings]:
        """Alpha and beta strings of a subspace, ascending.

        Those of the batch, the Hartree-Fock strings, those with large amplitudes in the best state so far,
        and as many low ones as the wanted states need. For equal numbers of both spins, both get the union: a
        closed-shell state is the same under exchange of the spins.
        """
        window = self._window
        sets = [batch.alpha, batch.beta]
        carried = self._resumed if self._best is None else _carried(self._best[1])
        if carried is not None:
            sets = [np.concatenate(pair) for pair in zip(sets, carried, strict=True)]
        if window.nelec[0] == window.nelec[1]:
            sets = [np.concatenate(sets)] * 2
        wanted = 1
        while True:
            low = [sampling.lowest_strings(window.norb, n, wanted) for n in window.nelec]
            alpha, beta = (np.union1d(strings, extra) for strings, extra in zip(sets, low, strict=True))
            if len(alpha) * len(beta) >= self._roots:
                break
            wanted += 1
        refuse_size(len(alpha) * len(beta), self._memory_mb, "lower samples_per_batch")
        return alpha, beta


def _carried(best: Solution) -> tuple[Strings, Strings]:
    """Strings of the best ground state that hold an amplitude worth keeping."""
    large = np.abs(best.vectors[0]) > CARRIED_AMPLITUDE
    return best.strings[0][large.any(axis=1)], best.strings[1][large.any(axis=0)]


def _resumed(window: Window, watch: Watch) -> tuple[Strings, Strings] | None:
    """Strings of the best subspace of a lost attempt or a neighbour."""
    kept = watch.recall(MEMORY, "strings of the best subspace")
    if kept is None or int(kept["norb"]) != window.norb:
        return None
    alpha, beta = (kept[name].astype(np.int64) for name in ("alpha", "beta"))
    fits = all((np.bitwise_count(s) == n).all() for s, n in zip((alpha, beta), window.nelec, strict=True))
    return (alpha, beta) if fits else None


# States


def _states(space: Subspace, best: Solution, spec: Spec, watch: Watch) -> tuple[ElectronicState, ...]:
    """Every state with its S^2 and its dipole transition from the ground state (length gauge)."""
    dipole = active_space.active_dipole(space.window)
    energies, vectors, spins = full_ci.purify(best.energies, best.vectors, space.apply_s_squared)
    task = spec.task
    if isinstance(task, ExcitedStates):
        chosen = [0, *_of_spin(spins, task, space.window, watch)]
        energies, spins, vectors = energies[chosen], spins[chosen], [vectors[place] for place in chosen]
    moments = (
        None if dipole is None else np.einsum("xpq,pq->x", dipole, space.transition(vectors[0], vector))
        for vector in vectors[1:]
    )
    return properties.electronic_states(energies, spins, moments)


def _of_spin(spins: Array, task: ExcitedStates, window: Window, watch: Watch) -> list[int]:
    """Places of the states above the ground state that have the spin asked for."""
    places = list(range(1, len(spins)))
    if task.spin != "any" and sum(window.nelec) % 2:
        watch.warn(f"an odd number of electrons has no {task.spin} states; states of any spin are listed with S^2")
    elif task.spin != "any":
        target = 0.0 if task.spin == "singlet" else 2.0
        places = [place for place in places if abs(spins[place] - target) < active_space.PURE_SPIN]
    if len(places) < task.n_states:
        watch.warn(f"{len(places)} {task.spin} states were found in the subspace, {task.n_states} asked for")
    return places[: task.n_states]
