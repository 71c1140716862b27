"""Self-consistent iterations: start, report, rescue, and the search for a stable minimum.

A plain PySCF script for a small molecule spends most of its time on reading basis-set text and on checkpoint
files. Here parsed bases come from a cache, the atoms of the initial guess too, and a checkpoint is written by time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from kanad_solvers import cost, fields, mole
from kanad_solvers.errors import NotConverged
from kanad_solvers.fields import Kind
from kanad_solvers.frames import power
from kanad_solvers.spec import Correlated, HartreeFock, MeanField, Spec

if TYPE_CHECKING:
    from kanad_solvers.run import Watch

SAME_DENSITY = 1e-4  # picked; of density matrices of both spins in atomic orbitals
FOLLOWED_INSTABILITIES = 4
DEGENERATE_HARTREE = 1e-5
SMALL_GAP_HARTREE = 0.5  # picked: of 24 molecules tried, none with a larger one is provably unstable by its frontier
FRONTIER_ORBITALS = 3
UNSTABLE_TOWARDS_UHF = "the RHF solution is unstable towards UHF, as diradicals are; try reference uhf"
MEMORY = "scf"


def converge(mol: Any, spec: Spec, watch: Watch, kind: Kind | None = None) -> Any:
    """A PySCF mean field with a finite energy; `field.converged` says whether it met its tolerance.

    Args:
        mol: a built PySCF molecule.
        spec: `spec.method` gives the options if it is `hf`; other methods take the defaults.
        kind: which reference, for methods that need a certain one.

    Raises:
        InvalidSpec: RHF was asked for unpaired electrons.
        NotConverged: no finite energy came out.
    """
    options = fields.options_of(spec)
    kind = kind or fields.kind_for(options, mol.spin)
    field = fields.build(mol, kind, spec, watch)
    meter = _Meter(watch)
    kept = _kept(mol, kind, watch)
    start = _start(field, kind, kept)
    _integrals(field, watch)
    if spec.solvent is not None:
        start, gas_hartree = _in_gas(field, start, meter, watch)
        field = fields.in_solvent(field, spec.solvent)
        field.kanad_gas_hartree = gas_hartree
    field.callback = meter
    # One more cycle after convergence makes better orbitals; an energy that has converged gains nothing by it.
    field.conv_check = not (watch.energies_only and isinstance(spec.method, MeanField))
    _iterate(field, start)
    if not field.converged:
        field = _rescue(field, meter, watch)
    if options.check_stability or (options.check_stability is None and kind == "uhf"):
        field = _settle(field, meter, watch)
    elif options.check_stability is None:
        _warn_of_lower(field, spec, watch)
    if not np.isfinite(field.e_tot):
        raise NotConverged(f"{kind} gave the energy {field.e_tot}", last_energy_hartree=meter.energy)
    if not field.converged:
        watch.warn(
            f"{kind.upper()} did not reach {options.conv_tol:g} hartree in {options.max_iterations} "
            "iterations; its energy is that of the last one: raise max_iterations or check the molecule"
        )
    if kept is not None and not isinstance(spec.method, MeanField):
        _align(field, _carried(kept, field.get_ovlp()))
    watch.memory.keep(MEMORY, mo_coeff=field.mo_coeff, mo_occ=field.mo_occ, overlap=field.get_ovlp())
    watch.keep_orbitals(field)
    return field


def _align(field: Any, before: Any) -> None:
    """Turns orbitals of equal energy and occupation to be as near as can be to the neighbour's: amplitudes then fit.

    Otherwise signs, and mixtures of degenerate orbitals, are those that the diagonalisation happened to give.
    """
    overlap = field.get_ovlp()
    coefficients = np.array(field.mo_coeff)
    if before.shape != coefficients.shape:
        return
    sets = zip(
        *(np.atleast_2d(part) for part in (field.mo_energy, field.mo_occ)),
        coefficients.reshape(-1, *coefficients.shape[-2:]),
        before.reshape(-1, *before.shape[-2:]),
        strict=True,
    )
    for energies, occupations, now, old in sets:
        cuts = np.flatnonzero((np.diff(energies) > DEGENERATE_HARTREE) | (np.diff(occupations) != 0)) + 1
        for group in np.split(np.arange(len(energies)), cuts):
            left, _, right = np.linalg.svd(now[:, group].T @ overlap @ old[:, group])
            now[:, group] = now[:, group] @ left @ right
    field.mo_coeff = coefficients


def _kept(mol: Any, kind: Kind, watch: Watch) -> dict[str, Any] | None:
    """Orbitals of a neighbour or of a lost attempt, if they fit."""
    kept = watch.recall(MEMORY, "SCF orbitals")
    return kept if kept is not None and _fits(kept, mol, kind) else None


def _start(field: Any, kind: Kind, kept: dict[str, Any] | None) -> Any:
    """The density to start from: that of kept orbitals, else one made of atoms."""
    if kept is not None:
        return field.make_rdm1(_carried(kept, field.get_ovlp()), kept["mo_occ"])
    guess = mole.initial_density(field.mol, field.get_ovlp())
    return mole.split_by_spin(field.mol, guess) if kind == "uhf" else guess


def _carried(kept: dict[str, Any], overlap: Any) -> Any:
    """Kept orbitals made orthonormal in the new overlap: S^-1/2 S_old^1/2 C, which moves them with their atoms."""
    if "orthogonal" in kept:
        return power(overlap, -0.5) @ kept["orthogonal"]
    before = kept.get("overlap")
    if before is None or before.shape != overlap.shape or before is overlap:
        return kept["mo_coeff"]
    return power(overlap, -0.5) @ power(before, 0.5) @ kept["mo_coeff"]


def _fits(kept: dict[str, Any], mol: Any, kind: Kind) -> bool:
    """Whether kept orbitals are those of this molecule, basis and spin."""
    coefficients, occupations = kept["mo_coeff"], kept["mo_occ"]
    if coefficients.shape[-2] != mol.nao or coefficients.ndim != (3 if kind == "uhf" else 2):
        return False
    if kind == "uhf":
        return bool(tuple(np.rint(occupations.sum(axis=1)).astype(int)) == tuple(mol.nelec))
    singles = int((np.rint(occupations) == 1).sum())
    return bool(np.rint(occupations.sum()) == mol.nelectron and singles == mol.spin)


def _in_gas(field: Any, start: Any, meter: _Meter, watch: Watch) -> tuple[Any, float]:
    """Density and energy (hartree) without the solvent, which the solvation energy is counted from."""
    gas = field.copy()
    gas.callback = meter
    _iterate(gas, start)
    if not gas.converged:
        watch.warn("SCF without the solvent did not converge: the solvation energy is not meaningful")
    return gas.make_rdm1(), float(gas.e_tot)


class _Meter:
    """SCF callback: one report per cycle, counted on over rescue attempts; ends the run when cancelled."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._iteration = 0
        self._begun = time.monotonic()
        self.energy: float | None = None

    def spent_s(self) -> float:
        """Seconds since the iterations began: a stability analysis takes about as long."""
        return time.monotonic() - self._begun

    def __call__(self, cycle: dict[str, Any]) -> None:
        self._iteration += 1
        energy = float(cycle["e_tot"])
        delta = None if self.energy is None else energy - self.energy
        residual = cycle.get("norm_gorb")
        self._watch.converge("scf", self._iteration, energy, delta, residual)
        self._watch.memory.keep(MEMORY, mo_coeff=cycle["mo_coeff"], mo_occ=cycle["mo_occ"])
        self.energy = energy


def _integrals(field: Any, watch: Watch) -> None:
    """Computes the two-electron integrals where PySCF would at its first cycle, and says how far they are."""
    if getattr(field, "with_df", None) is not None or not field._is_mem_enough():
        return
    mol = field.mol
    with watch.beating("two-electron integrals", cost.integral_seconds(mol.nao)):
        field._eri = watch.repulsion(mol._env.tobytes(), lambda: mol.intor("int2e", aosym="s8"))


def _iterate(field: Any, density: Any) -> None:
    try:
        field.kernel(dm0=density)
    except np.linalg.LinAlgError as error:
        raise NotConverged(
            "the orbital equations are singular; atoms may be too close, or the basis linearly dependent"
        ) from error


def _rescue(field: Any, meter: _Meter, watch: Watch) -> Any:
    """Tries damping, a level shift and second-order steps in turn, until one converges.

    Each rung has `max_iterations` cycles of its own and starts from the density of the rung before.
    """
    plain = {"damp": field.damp, "level_shift": field.level_shift, "diis_start_cycle": field.diis_start_cycle}
    rungs = (
        ("damping of 0.5", {"damp": 0.5, "diis_start_cycle": 8}),
        ("a level shift of 0.3 hartree", {"level_shift": 0.3}),
    )
    field.conv_check = True  # its last cycle is without damping and shift
    for words, changes in rungs:
        watch.info(f"SCF has not converged; trying {words}")
        for name, value in changes.items():
            setattr(field, name, value)
        _iterate(field, field.make_rdm1())
        for name, value in plain.items():
            setattr(field, name, value)
        if field.converged:
            return field
    watch.info("SCF has not converged; trying second-order steps")
    return _second_order(field, field.mo_coeff, meter)


def _second_order(field: Any, mo_coeff: Any, meter: _Meter | None) -> Any:
    """Newton steps from given orbitals; hands back the first-order object with the new orbitals in it."""
    newton = field.newton()
    newton.callback = meter
    newton.max_cycle = field.max_cycle
    newton.kernel(mo_coeff, field.mo_occ)
    for name in ("converged", "e_tot", "mo_energy", "mo_coeff", "mo_occ"):
        setattr(field, name, getattr(newton, name))
    return field


# Stability


def _warn_of_lower(field: Any, spec: Spec, watch: Watch) -> None:
    """Says of an RHF solution that was not analysed that a lower one exists, where its frontier proves it."""
    if not isinstance(spec.method, HartreeFock | Correlated) or not field.converged:
        return
    to_rhf, to_uhf = _frontier_curvatures(field)
    if to_rhf < 0:
        watch.warn("the RHF solution is a saddle point, a lower one exists: method hf with check_stability goes there")
    if to_uhf < 0:
        watch.warn(UNSTABLE_TOWARDS_UHF)


def _frontier_curvatures(field: Any) -> tuple[float, float]:
    """Upper bounds on the lowest eigenvalues of an RHF solution's stability matrices, hartree, where its gap is small.

    The diagonal e_a - e_i + 3 (ia|ia) - (ii|aa) towards other restricted solutions, and e_a - e_i - (ia|ia) - (ii|aa)
    towards unrestricted ones (Seeger and Pople 1977), at their least over excitations from the three highest filled
    orbitals: a negative one proves a lower solution, for the cost of one potential.
    """
    occupied = field.mo_occ > 0
    if fields.kind_of(field) != "rhf" or hasattr(field, "xc") or occupied.all() or not occupied.any():
        return np.inf, np.inf
    filled, empty = np.flatnonzero(occupied), np.flatnonzero(~occupied)
    if field.mo_energy[empty].min() - field.mo_energy[filled].max() > SMALL_GAP_HARTREE:
        return np.inf, np.inf
    chosen = filled[np.argsort(field.mo_energy[filled])[-FRONTIER_ORBITALS:]]
    orbitals, virtuals = field.mo_coeff[:, chosen], field.mo_coeff[:, empty]
    coulomb, exchange = field.get_jk(field.mol, np.einsum("pi,qi->ipq", orbitals, orbitals))
    direct, crossed = (np.einsum("pa,ipq,qa->ia", virtuals, part, virtuals) for part in (coulomb, exchange))
    gaps = field.mo_energy[empty] - field.mo_energy[chosen][:, None]
    return float((gaps + 3 * crossed - direct).min()), float((gaps - crossed - direct).min())


def _settle(field: Any, meter: _Meter, watch: Watch) -> Any:
    """Follows internal instabilities to a minimum (Seeger and Pople, J. Chem. Phys. 66, 3045 (1977)).

    Leaves the verdict in `field.kanad_stable`; does nothing for a field that has not converged.
    """
    for _ in range(FOLLOWED_INSTABILITIES):
        if not field.converged:
            return field
        orbitals, stable = _downhill(field, watch, meter.spent_s())
        if stable:
            field.kanad_stable = True
            _warn_external(field, watch)
            return field
        before = float(field.e_tot)
        _iterate(field, field.make_rdm1(orbitals, field.mo_occ))
        if not field.converged:
            field = _rescue(field, meter, watch)
        watch.info(
            f"SCF solution at {before:.8f} hartree was a saddle point; "
            f"followed the instability to {field.e_tot:.8f} hartree"
        )
    _, stable = _downhill(field, watch, meter.spent_s())
    field.kanad_stable = stable
    if not stable:
        watch.warn("the SCF solution is still a saddle point after following its instability four times")
    return field


def _downhill(field: Any, watch: Watch, expected_s: float) -> tuple[Any, bool]:
    """Orbitals turned along the lowest internal instability, and whether there was none."""
    with watch.beating("stability analysis", expected_s), fields.interruptible(field, watch):
        return _lowest_turn(field, watch)


def _lowest_turn(field: Any, watch: Watch) -> tuple[Any, bool]:
    occupations = np.atleast_2d(field.mo_occ)
    if all((occupation > 0).all() or not (occupation > 0).any() for occupation in occupations):
        return field.mo_coeff, True  # nothing to rotate: every orbital is full, or every one empty
    if _spins_coincide(field):
        # Seen from a point where both spins are alike, PySCF's internal search stays among points where they are: it
        # starts from a symmetric vector. The same turn is an external one of the restricted solution.
        restricted = field.to_rks() if hasattr(field, "xc") else field.to_rhf()
        with fields.interruptible(restricted, watch):
            _, orbitals, _, stable = restricted.stability(internal=False, external=True, return_status=True)
        if not stable:
            return orbitals, False
    orbitals, _, stable, _ = field.stability(internal=True, external=False, return_status=True)
    return orbitals, bool(stable)


def _spins_coincide(field: Any) -> bool:
    """Whether an unrestricted solution is a restricted one: the same density for both spins."""
    if fields.kind_of(field) != "uhf" or field.nelec[0] != field.nelec[1]:
        return False
    alpha, beta = field.make_rdm1()
    return bool(np.allclose(alpha, beta, atol=SAME_DENSITY))


def _warn_external(field: Any, watch: Watch) -> None:
    """A stable RHF solution may still lie above a UHF one: say so, for it is not what was asked for."""
    if fields.kind_of(field) == "rhf" and not is_stable_towards_uhf(field, watch):
        watch.warn(UNSTABLE_TOWARDS_UHF)


def is_stable_towards_uhf(field: Any, watch: Watch) -> bool:
    """Whether no unrestricted solution lies below an RHF one in its neighbourhood."""
    if (field.mo_occ > 0).all():
        return True
    with fields.interruptible(field, watch):
        *_, stable = field.stability(internal=False, external=True, return_status=True)
    return bool(stable)
