"""Complete active space SCF: the active space is solved exactly and its orbitals are optimised (Roos et al., 1980).

With `n_states` above 1 the orbitals minimise the average energy of that many states of one spin.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import fci, mcscf
from pyscf.fci import direct_spin1

from kanad_solvers import active_space, full_ci, gradients, mean_field, mole, properties
from kanad_solvers.active_space import Window
from kanad_solvers.errors import InvalidSpec, NotConverged
from kanad_solvers.full_ci import Roots
from kanad_solvers.properties import Array
from kanad_solvers.result import Result
from kanad_solvers.run import Watch
from kanad_solvers.spec import Energy, ExcitedStates, OptimizedActiveSpace, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "casscf"
PSPACE = 60  # determinants of Davidson's dense start; PySCF's 400 spends most of a small CASSCF in that one matrix
SPIN_SHIFT = 0.2  # hartree; PySCF's penalty on states of another spin


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest states with optimised orbitals, and the properties of the ground state.

    Raises:
        InvalidSpec: the window, the spin or the number of states does not fit the molecule.
        NotConverged: the reference or the orbitals gave no finite energy.
    """
    method = spec.method
    assert isinstance(method, OptimizedActiveSpace)
    last = 3
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    count, spin = _asked(spec)
    solver = _solver(window, method, count, spin, watch)
    solver.kernel(_start(solver, window, watch))
    watch.memory.keep(MEMORY, mo_coeff=solver.mo_coeff)
    if not np.all(np.isfinite(np.atleast_1d(solver.e_tot))):
        raise NotConverged(f"casscf gave the energy {solver.e_tot}", last_energy_hartree=window.hf_energy)
    if not solver.converged:
        watch.warn(f"casscf did not converge in {method.max_iterations} iterations: raise max_iterations")
    watch.stage(1, last, "Orbitals optimised", float(solver.e_tot))
    optimised = active_space.on_orbitals(window, np.asarray(solver.mo_coeff))
    roots = full_ci.lowest(optimised, count, spin, watch, quiet=True)
    states = full_ci.electronic_states(optimised, roots.part(slice(0, 1)), roots.part(slice(1, None)))
    for state in states:
        watch.state(state)
    watch.stage(2, last, "States assigned", float(roots.energies[0]))
    result = _result(spec, optimised, solver, roots, states, watch)
    watch.stage(3, last, "Properties computed", result.energy_hartree)
    return result


def _asked(spec: Spec) -> tuple[int, full_ci.Wanted]:
    """How many states the orbitals are optimised for, and their spin."""
    method, task = spec.method, spec.task
    assert isinstance(method, OptimizedActiveSpace)
    if isinstance(task, ExcitedStates):
        return task.n_states + 1, task.spin
    return method.n_states, method.spin


def _solver(window: Window, method: OptimizedActiveSpace, count: int, spin: full_ci.Wanted, watch: Watch) -> Any:
    """A PySCF CASSCF object that reports its macro iterations."""
    nelec = full_ci.sector(window, spin)
    solver = mcscf.CASSCF(window.field, window.norb, nelec)
    if len(np.atleast_1d(solver.ncore)) != 1 or solver.ncore != window.ncore:
        raise InvalidSpec.at(
            "$.active_space", f"{window.ncore} core orbitals are expected, PySCF counts {solver.ncore}"
        )
    solver.verbose = 0
    solver.conv_tol, solver.max_cycle_macro = method.conv_tol, method.max_iterations
    solver.fcisolver = fci.direct_spin1.FCI(window.field.mol)
    solver.fcisolver.conv_tol = 1e-10
    solver.fcisolver.max_cycle = 200
    if count == 1:  # with several, a small start was seen to miss a root
        solver.fcisolver.pspace_size = PSPACE
    if spin != "any" or (nelec[0] == nelec[1] and window.field.mol.spin == 0):
        target = {"singlet": 0.0, "triplet": 2.0}.get(spin, 0.0)
        if spin != "any":
            solver.fix_spin_(shift=SPIN_SHIFT, ss=target)
    if count > 1:
        solver = solver.state_average_([1.0 / count] * count)
    solver.callback = _Meter(watch)
    return solver


class _Meter:
    """Callback of PySCF's CASSCF, which also fires within a macro iteration: those calls only look at the flag."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._macro = -1
        self._last: float | None = None

    def __call__(self, cycle: dict[str, Any]) -> None:
        self._watch.check()
        if cycle.get("rota") is not None or cycle.get("imacro", 0) == self._macro:
            return
        self._macro = cycle["imacro"]
        self._watch.memory.keep(MEMORY, mo_coeff=cycle["mo"])
        energy = float(cycle["e_tot"])
        delta = None if self._last is None else energy - self._last
        residual = cycle.get("norm_gorb0", cycle.get("norm_gorb"))
        self._watch.converge("casscf", self._macro, energy, delta, None if residual is None else float(residual))
        self._last = energy


def _start(solver: Any, window: Window, watch: Watch) -> Array:
    """Orbitals to begin with: those of a neighbour or a lost attempt, made orthonormal here, else the window's."""
    kept = watch.recall(MEMORY, "CASSCF orbitals")
    ordered = window.orbitals
    if kept is None or kept["mo_coeff"].shape != ordered.shape:
        return ordered
    return np.asarray(mcscf.project_init_guess(solver, kept["mo_coeff"], prev_mol=None))


def _result(spec: Spec, window: Window, solver: Any, roots: Roots, states: tuple[Any, ...], watch: Watch) -> Result:
    energy = float(roots.energies[0])
    sentence = active_space.other_spin(window, roots.s_squared[0])
    if sentence is not None:
        watch.warn(sentence)
    alpha, beta = direct_spin1.make_rdm1s(roots.vectors[0], window.norb, roots.nelec)
    occupations = _occupations(window, alpha + beta)
    orbitals = SimpleNamespace(
        mol=window.field.mol, mo_coeff=window.orbitals, mo_energy=np.asarray(solver.mo_energy), mo_occ=occupations
    )
    watch.keep_orbitals(orbitals, window)
    gradient = None
    if isinstance(spec.task, Energy) and spec.task.gradient:
        watch.check()
        gradient = gradients.analytic(solver.nuc_grad_method(), watch)
    parts = mean_field.components(window.field) | {"correlation_hartree": energy - window.hf_energy}
    if len(states) > 1:
        parts["state_average_hartree"] = float(solver.e_tot)
    return Result(
        energy_hartree=energy,
        converged=bool(solver.converged) and roots.converged and bool(window.field.converged),
        components=parts,
        reference=mean_field.describe(window.field),
        states=states,
        orbitals=properties.orbitals(solver.mo_energy, occupations),
        properties=active_space.correlated_properties(window, (alpha, beta), "casscf", gradient),
        comparisons={"hf": window.hf_energy},
    )


def _occupations(window: Window, density: Array) -> Array:
    """Two in the core, and in the window the diagonal of the density over it, shape (nmo,)."""
    occupations = np.zeros(window.orbitals.shape[1])
    occupations[: window.ncore] = 2.0
    occupations[window.ncore : window.ncore + window.norb] = np.clip(density.diagonal(), 0.0, 2.0)
    return occupations
