"""Excited states by equation-of-motion coupled cluster (Stanton and Bartlett, J. Chem. Phys. 98, 7029 (1993))."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pyscf import cc
from pyscf.cc import eom_rccsd

from kanad_solvers import correlated, eom_spin, mole, properties, pyscf_log
from kanad_solvers.errors import InvalidSpec, NotConverged
from kanad_solvers.properties import EV_PER_HARTREE
from kanad_solvers.result import ElectronicState, Result
from kanad_solvers.run import Watch
from kanad_solvers.self_consistent import converge
from kanad_solvers.spec import ExcitedStates, SinglesDoubles, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

# Davidson's method for the non-symmetric matrix skips roots: three singlets of formaldehyde asked for, the third is
# missed. Twice as many and four more were enough in every case tried.
LEAST_EXTRA_ROOTS = 4
MAX_CYCLES = 200
EMPTY_ROOT = 1e-7  # hartree; amplitudes that antisymmetry forbids come as roots of zero energy

SpinOf: TypeAlias = Callable[[Any, Any, np.ndarray, float], float | None]
"""S^2 of a root from the equations, their intermediates, its vector and its excitation energy."""


@dataclass(frozen=True, kw_only=True)
class Root:
    """One excitation: energy in hartree, S^2 where there was memory for it, and whether it met the tolerance."""

    energy: float
    s_squared: float | None
    converged: bool


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The CCSD ground state and `task.n_states` states above it; EOM-CCSD gives no oscillator strengths here.

    Raises:
        InvalidSpec: there are fewer excitations than states asked for.
        NotConverged: the reference or the amplitudes gave no finite energy, or no root was found.
    """
    method, task = spec.method, spec.task
    assert isinstance(method, SinglesDoubles)
    assert isinstance(task, ExcitedStates)
    last = 3
    field = converge(mole.build(spec, molecule), spec, watch)
    watch.stage(0, last, "HF reference computed", field.e_tot)
    solver = correlated.coupled_cluster(field, method, watch)
    watch.stage(1, last, "CCSD amplitudes solved", solver.e_tot)
    knows_spin = _knows_spin(solver, spec, watch)
    roots = _roots(solver, task, knows_spin, watch)
    watch.stage(2, last, "EOM-CCSD solved", solver.e_tot)
    states = _states(solver, knows_spin, roots)
    for state in states:
        watch.state(state)
    ground = correlated.describe(spec, molecule, field, solver, None, watch)
    watch.stage(3, last, "Properties computed", solver.e_tot)
    return Result(
        energy_hartree=ground.energy_hartree,
        converged=ground.converged and all(root.converged for root in roots),
        components=ground.components,
        reference=ground.reference,
        states=states,
        orbitals=ground.orbitals,
        properties=ground.properties,
        comparisons=ground.comparisons,
        diagnostics=ground.diagnostics,
    )


def _knows_spin(solver: Any, spec: Spec, watch: Watch) -> bool:
    """Whether S^2 needs no computation (closed shells) or fits into half of the memory limit."""
    needed = eom_spin.memory_mb(solver) if isinstance(solver, cc.uccsd.UCCSD) else 0.0
    if needed <= spec.limits.memory_mb / 2:
        return True
    watch.warn(f"S^2 of the states is left out: it needs limits.memory_mb of about {2 * needed:.0f}")
    return False


def _roots(solver: Any, task: ExcitedStates, knows_spin: bool, watch: Watch) -> list[Root]:
    """The wanted excitations, lowest first."""
    if isinstance(solver, cc.uccsd.UCCSD):
        if task.spin != "any":
            watch.warn(f"EOM on an unrestricted reference mixes spins: states of any spin are listed, not {task.spin}")
        from pyscf.cc.eom_uccsd import EOMEESpinKeep

        def measured(*root: Any) -> float | None:
            return eom_spin.of_root(*root) if knows_spin else None

        found = _solve(EOMEESpinKeep(solver), measured, task, watch)
    else:
        singlet, triplet = (eom_rccsd.EOMEESinglet, lambda *_: 0.0), (eom_rccsd.EOMEETriplet, lambda *_: 2.0)
        kinds = {"singlet": (singlet,), "triplet": (triplet,), "any": (singlet, triplet)}
        found = [root for kind, spin in kinds[task.spin] for root in _solve(kind(solver), spin, task, watch)]
    chosen = sorted(found, key=lambda root: root.energy)[: task.n_states]
    if not chosen:
        raise NotConverged("EOM-CCSD found no excited state; try another reference or basis")
    if len(chosen) < task.n_states:
        watch.warn(f"{len(chosen)} {task.spin} states were found, {task.n_states} asked for")
    if not all(root.converged for root in chosen):
        watch.warn("not every excited state met the convergence tolerance")
    return chosen


def _solve(equations: Any, spin_of: SpinOf, task: ExcitedStates, watch: Watch) -> list[Root]:
    """The lowest roots of one kind of EOM equations; more are asked for than wanted."""
    size = int(equations.vector_size())
    if task.n_states > size:
        raise InvalidSpec.at("$.task.n_states", f"{size} excitations exist in this basis, {task.n_states} asked for")
    floor = float(equations._cc.e_tot)
    pyscf_log.listen(equations, pyscf_log.davidson(watch, "eom-ccsd", floor))
    equations.max_cycle = MAX_CYCLES
    asked = min(size, task.n_states + max(LEAST_EXTRA_ROOTS, task.n_states))
    intermediates = equations.make_imds(equations._cc.kanad_integrals)
    converged, energies, vectors = eom_rccsd.kernel(equations, asked, imds=intermediates)
    vectors = [vectors] if asked == 1 else vectors
    found = zip(np.atleast_1d(energies), np.atleast_1d(converged), vectors, strict=True)
    kept = sorted((root for root in found if abs(root[0]) > EMPTY_ROOT), key=lambda root: root[0])[: task.n_states]
    made = []
    for energy, done, vector in kept:
        watch.check()
        spin = spin_of(equations, intermediates, vector, energy)
        made.append(Root(energy=float(energy), s_squared=spin, converged=bool(done)))
    return made


def _states(solver: Any, knows_spin: bool, roots: list[Root]) -> tuple[ElectronicState, ...]:
    """The ground state and the excited ones, with S^2 where it is known."""
    ground: float | None = 0.0
    if isinstance(solver, cc.uccsd.UCCSD):
        ground = eom_spin.of_ground(solver) if knows_spin else None
    floor = float(solver.e_tot)
    return tuple(
        ElectronicState(
            index=index,
            energy_hartree=floor + excitation,
            excitation_ev=excitation * EV_PER_HARTREE,
            s_squared=spin,
            label=None if spin is None else properties.spin_label(spin),
        )
        for index, (excitation, spin) in enumerate([(0.0, ground), *((root.energy, root.s_squared) for root in roots)])
    )
