"""Excited states by linear response: CIS and TDHF on Hartree-Fock, TDA and TDDFT on Kohn-Sham."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import tdscf  # noqa: F401  # gives the fields their TDA, TDHF and TDDFT

from kanad_solvers import fields, mean_field, mole, properties, pyscf_log, self_consistent
from kanad_solvers.errors import InvalidSpec, NotConverged
from kanad_solvers.properties import Array
from kanad_solvers.result import ElectronicState, Result
from kanad_solvers.run import Watch
from kanad_solvers.spec import ExcitedStates, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

# Davidson's method asked for just the wanted roots skips some (two singlets of water: one is missed), so more
# are asked for, then sorted and cut.
LEAST_EXTRA_ROOTS = 4
LOWEST_ROOT = -10.0  # hartree; CIS roots below the reference are real and tell of an instability
MAX_CYCLES = 200


@dataclass(frozen=True, kw_only=True)
class Root:
    """One excitation.

    Attributes:
        energy: excitation energy, hartree.
        dipole: transition dipole from the ground state, shape (3,), atomic units.
        s_squared: <S^2> of the excited state.
        converged: whether its residual met the tolerance.
    """

    energy: float
    dipole: Array
    s_squared: float
    converged: bool


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The ground state and `task.n_states` states above it: CIS or TDA with `tda`, else TDHF or TDDFT.

    Raises:
        InvalidSpec: there are fewer single excitations, or the reference is ROHF.
        NotConverged: no finite ground-state energy, or no root, came out.
    """
    assert isinstance(spec.task, ExcitedStates)
    last = 2
    field = self_consistent.converge(mole.build(spec, molecule), spec, watch)
    watch.stage(0, last, "Reference computed", field.e_tot)
    roots = _roots(field, spec.task, watch)
    watch.stage(1, last, f"{_title(field, spec.task)} solved", field.e_tot)
    states = _states(field, roots)
    for state in states:
        watch.state(state)
    ground = mean_field.mean_field_result(field, spec, watch)
    watch.stage(2, last, "Properties computed", field.e_tot)
    return Result(
        energy_hartree=ground.energy_hartree,
        converged=ground.converged and all(root.converged for root in roots),
        components=ground.components,
        reference=ground.reference,
        states=states,
        orbitals=ground.orbitals,
        properties=ground.properties,
    )


def _title(field: Any, task: ExcitedStates) -> str:
    """The field's name for the method."""
    on_kohn_sham = hasattr(field, "xc")
    if task.tda:
        return "TDA" if on_kohn_sham else "CIS"
    return "TDDFT" if on_kohn_sham else "TDHF"


def _roots(field: Any, task: ExcitedStates, watch: Watch) -> list[Root]:
    """The wanted excitations, lowest first."""
    kind = fields.kind_of(field)
    if kind == "rohf":
        raise InvalidSpec.at("$.method.reference", "excited states need rhf or uhf (auto), got rohf")
    if kind == "uhf":
        if task.spin != "any" and field.mol.spin:
            watch.warn(f"uhf states have no pure spin: states of any spin are listed, not only {task.spin} ones")
        found = _unrestricted(field, task, watch)
        if not field.mol.spin:
            found = [root for root in found if _has_spin(root, task.spin)]
    else:
        spins = {"singlet": (True,), "triplet": (False,), "any": (True, False)}[task.spin]
        found = [root for singlet in spins for root in _restricted(field, task, singlet, watch)]
    chosen = sorted(found, key=lambda root: root.energy)[: task.n_states]
    _judge(chosen, task, watch)
    return chosen


def _has_spin(root: Root, spin: str) -> bool:
    """Whether a contaminated state of a singlet molecule is nearer to the spin asked for."""
    return spin == "any" or (root.s_squared > 1) == (spin == "triplet")


def _judge(roots: list[Root], task: ExcitedStates, watch: Watch) -> None:
    if not roots:
        raise NotConverged("no excited state was found; the reference may be unstable: try check_stability")
    if len(roots) < task.n_states:
        watch.warn(f"{len(roots)} {task.spin} states were found, {task.n_states} asked for")
    if not all(root.converged for root in roots):
        watch.warn("not every excited state met the convergence tolerance")
    if roots[0].energy < 0:
        watch.warn("a state lies below the ground-state solution, which is thus unstable: try reference uhf")


def _solve(solver: Any, task: ExcitedStates, available: int, watch: Watch) -> None:
    """Runs a PySCF solver for more roots than wanted."""
    if task.n_states > available:
        raise InvalidSpec.at(
            "$.task.n_states",
            f"the basis has {available} single excitations, {task.n_states} were asked for",
        )
    # An unrestricted solver mixes the spins, of which only one may be wanted.
    wanted = task.n_states * (1 if hasattr(solver, "singlet") and solver.singlet is not None else 2)
    solver.nstates = min(available, wanted + max(LEAST_EXTRA_ROOTS, wanted))
    solver.max_cycle = MAX_CYCLES
    solver.positive_eig_threshold = LOWEST_ROOT
    series = _title(solver._scf, task).lower()
    pyscf_log.listen(solver, pyscf_log.davidson(watch, series, float(solver._scf.e_tot)))
    product, diagonal = solver.gen_vind(solver._scf)
    solver.gen_vind = lambda _=None: (_watched(product, watch), diagonal)
    try:
        solver.kernel()
    except np.linalg.LinAlgError as error:
        raise NotConverged(
            "the excitation equations have no real solution: the reference is unstable; try tda or uhf"
        ) from error


def _watched(product: Callable[[Any], Any], watch: Watch) -> Callable[[Any], Any]:
    def checked(vectors: Any) -> Any:
        watch.check()
        return product(vectors)

    return checked


def _restricted(field: Any, task: ExcitedStates, singlet: bool, watch: Watch) -> list[Root]:
    """Singlet or triplet excitations of an RHF field."""
    solver = field.TDA() if task.tda else field.TDDFT() if hasattr(field, "xc") else field.TDHF()
    solver.singlet = singlet
    occupied = field.mo_occ > 0
    if not singlet and not task.tda and not self_consistent.is_stable_towards_uhf(field, watch):
        watch.warn(
            "rhf is unstable towards uhf here, so the lowest triplet has no real energy and is missing; "
            "use tda or reference uhf"
        )
    _solve(solver, task, int(occupied.sum() * (~occupied).sum()), watch)
    integrals = _between(field, field.mo_coeff, occupied)
    roots = []
    for energy, (x, y), converged in zip(solver.e, solver.xy, solver.converged, strict=True):
        # PySCF norms to 1/2 per spin; both spins add up in a singlet and cancel in a triplet.
        dipole = 2 * np.einsum("xia,ia->x", integrals, x + y) if singlet else np.zeros(3)
        roots.append(
            Root(
                energy=float(energy),
                dipole=dipole,
                s_squared=0.0 if singlet else 2.0,
                converged=bool(converged),
            )
        )
    return roots


def _unrestricted(field: Any, task: ExcitedStates, watch: Watch) -> list[Root]:
    """Excitations of a UHF field that keep M_s, of any spin."""
    solver = field.TDA() if task.tda else field.TDDFT() if hasattr(field, "xc") else field.TDHF()
    occupied = [occupation > 0 for occupation in field.mo_occ]
    _solve(solver, task, sum(int(mask.sum() * (~mask).sum()) for mask in occupied), watch)
    integrals = [_between(field, field.mo_coeff[s], occupied[s]) for s in (0, 1)]
    overlap = _spin_overlap(field, occupied)
    roots = []
    for energy, (x, y), converged in zip(solver.e, solver.xy, solver.converged, strict=True):
        total = [np.asarray(x[s]) + np.asarray(0 if task.tda else y[s]) for s in (0, 1)]
        dipole = sum(np.einsum("xia,ia->x", integrals[s], total[s]) for s in (0, 1))
        roots.append(
            Root(
                energy=float(energy),
                dipole=np.asarray(dipole),
                s_squared=singles_s_squared((np.asarray(x[0]), np.asarray(x[1])), overlap),
                converged=bool(converged),
            )
        )
    return roots


def _between(field: Any, coefficients: Array, occupied: Any) -> Array:
    """<i|r|a> between occupied and virtual orbitals, shape (3, nocc, nvir), bohr."""
    integrals = properties.dipole_integrals(field.mol)
    return np.asarray(coefficients[:, occupied].T @ integrals @ coefficients[:, ~occupied])


def _spin_overlap(field: Any, occupied: list[Any]) -> tuple[Array, int, int]:
    """Overlap of alpha with beta orbitals, occupied first, shape (nmo, nmo), and how many are occupied."""
    sets = [np.hstack((field.mo_coeff[s][:, occupied[s]], field.mo_coeff[s][:, ~occupied[s]])) for s in (0, 1)]
    overlap = sets[0].T @ field.get_ovlp() @ sets[1]
    return np.asarray(overlap), int(occupied[0].sum()), int(occupied[1].sum())


def singles_s_squared(x: tuple[Array, Array], overlap: tuple[Array, int, int]) -> float:
    """<S^2> of a combination of single excitations out of an unrestricted determinant.

    S^2 = S_z (S_z + 1) + S_- S_+, with <S_- S_+> = n_beta - sum O_pq O_rs <r^+ p  q^+ s>, where O is the
    overlap of alpha with beta orbitals, r and p are alpha, q and s beta (Maurice and Head-Gordon, Int. J.
    Quantum Chem. 56, 361 (1995)). For TDHF it is that of the excitation part X, normalised.

    Args:
        x: alpha and beta amplitudes, shapes (na, virtual) and (nb, virtual).
        overlap: alpha-beta overlap with occupied orbitals first, and the numbers of occupied orbitals.
    """
    whole, alpha, beta = overlap
    norm = float(np.sqrt(sum(np.sum(part**2) for part in x)))
    up, down = x[0] / norm, x[1] / norm
    pairs = np.sum(_excited_density(up, alpha, len(whole)) * (whole[:, :beta] @ whole[:, :beta].T))
    pairs += np.sum(_excited_density(down, beta, len(whole)) * (whole[:alpha].T @ whole[:alpha]))
    pairs += 2 * np.sum(up * (whole[:alpha, :beta] @ down @ whole[alpha:, beta:].T))
    spin = (alpha - beta) / 2
    return float(spin * (spin + 1) + beta - pairs)


def _excited_density(x: Array, occupied: int, norb: int) -> Array:
    """One-body density of the part of a state in which this spin is excited, shape (norb, norb)."""
    density = np.zeros((norb, norb))
    density[:occupied, :occupied] = np.eye(occupied) * np.sum(x**2) - x @ x.T
    density[occupied:, occupied:] = x.T @ x
    return density


def _states(field: Any, roots: list[Root]) -> tuple[ElectronicState, ...]:
    """The ground state and the excited ones, as they stand in the result."""
    floor = float(field.e_tot)
    return properties.electronic_states(
        [floor, *(floor + root.energy for root in roots)],
        [mean_field.describe(field).s_squared, *(root.s_squared for root in roots)],
        (root.dipole for root in roots),
    )
