"""Excited states by equation-of-motion coupled cluster (Stanton and Bartlett, J. Chem. Phys. 98, 7029 (1993))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import cc

from kanad_solvers import correlated, mean_field, mole, properties, pyscf_log
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


@dataclass(frozen=True, kw_only=True)
class Root:
    """One excitation: energy in hartree, S^2 where the spin is pure (else None), and whether it met the tolerance."""

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
    roots = _roots(solver, task, watch)
    watch.stage(2, last, "EOM-CCSD solved", solver.e_tot)
    states = _states(float(solver.e_tot), field, roots)
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


def _roots(solver: Any, task: ExcitedStates, watch: Watch) -> list[Root]:
    """The wanted excitations, lowest first."""
    if isinstance(solver, cc.uccsd.UCCSD):
        if task.spin != "any":
            watch.warn(f"EOM on an unrestricted reference mixes spins: states of any spin are listed, not {task.spin}")
        from pyscf.cc.eom_uccsd import EOMEESpinKeep

        found = _solve(EOMEESpinKeep(solver), None, task, watch)
    else:
        from pyscf.cc.eom_rccsd import EOMEESinglet, EOMEETriplet

        kinds = {"singlet": (EOMEESinglet,), "triplet": (EOMEETriplet,), "any": (EOMEESinglet, EOMEETriplet)}
        found = [
            root
            for kind in kinds[task.spin]
            for root in _solve(kind(solver), 0.0 if kind is EOMEESinglet else 2.0, task, watch)
        ]
    chosen = sorted(found, key=lambda root: root.energy)[: task.n_states]
    if not chosen:
        raise NotConverged("EOM-CCSD found no excited state; try another reference or basis")
    if len(chosen) < task.n_states:
        watch.warn(f"{len(chosen)} {task.spin} states were found, {task.n_states} asked for")
    if not all(root.converged for root in chosen):
        watch.warn("not every excited state met the convergence tolerance")
    return chosen


def _solve(equations: Any, s_squared: float | None, task: ExcitedStates, watch: Watch) -> list[Root]:
    """Roots of one kind of EOM equations, more than wanted."""
    size = int(equations.vector_size())
    if task.n_states > size:
        raise InvalidSpec.at("$.task.n_states", f"{size} excitations exist in this basis, {task.n_states} asked for")
    floor = float(equations._cc.e_tot)
    pyscf_log.listen(equations, pyscf_log.davidson(watch, "eom-ccsd", floor))
    equations.max_cycle = MAX_CYCLES
    asked = min(size, task.n_states + max(LEAST_EXTRA_ROOTS, task.n_states))
    converged, energies, _ = _kernel(equations, asked)
    return [
        Root(energy=float(energy), s_squared=s_squared, converged=bool(done))
        for energy, done in zip(np.atleast_1d(energies), np.atleast_1d(converged), strict=True)
        if abs(energy) > EMPTY_ROOT
    ]


def _kernel(equations: Any, roots: int) -> tuple[Any, Any, Any]:
    from pyscf.cc import eom_rccsd

    found: tuple[Any, Any, Any] = eom_rccsd.kernel(equations, roots, imds=equations.make_imds())
    return found


def _states(floor: float, field: Any, roots: list[Root]) -> tuple[ElectronicState, ...]:
    """The ground state, with the S^2 of its reference, and the excited ones."""
    ground = properties.spin_fields(mean_field.describe(field).s_squared)
    states = [ElectronicState(index=0, energy_hartree=floor, excitation_ev=0.0, **ground)]
    for index, root in enumerate(roots, start=1):
        states.append(
            ElectronicState(
                index=index,
                energy_hartree=floor + root.energy,
                excitation_ev=root.energy * EV_PER_HARTREE,
                s_squared=root.s_squared,
                label=None if root.s_squared is None else properties.spin_label(root.s_squared),
            )
        )
    return tuple(states)
