"""Hartree-Fock: the energy by itself, and the determinant under every other method.

A plain PySCF script for a small molecule spends most of its time on reading basis-set text and on checkpoint
files. Here parsed bases come from a cache, the atoms of the initial guess too, and no file is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from pyscf import gto, scf
from pyscf.scf import hf

from kanad_solvers import mole, properties
from kanad_solvers.errors import InvalidSpec, NotConverged
from kanad_solvers.properties import Array
from kanad_solvers.result import Reference, Result
from kanad_solvers.spec import Energy, ExcitedStates, HartreeFock, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed
    from kanad_solvers.run import Watch

hf.MUTE_CHKFILE = True  # an HDF5 file per SCF object and a write per cycle cost a third of a small solve

Kind: TypeAlias = Literal["rhf", "uhf", "rohf"]

FOLLOWED_INSTABILITIES = 4


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """Hartree-Fock energy with properties, or excited states on top of it.

    Raises:
        InvalidSpec: RHF was asked for unpaired electrons.
        NotConverged: no finite energy came out.
    """
    assert isinstance(spec.method, HartreeFock)
    if isinstance(spec.task, ExcitedStates):
        from kanad_solvers import excited

        return excited.solve(spec, molecule, watch)
    return energy(spec, molecule, watch)


def energy(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """Total energy, orbitals, properties and (where asked for) the nuclear gradient."""
    mol = mole.build(spec, molecule)
    watch.stage(0, 2, "Molecule and basis ready")
    field = converge(mol, spec, watch)
    watch.stage(1, 2, "SCF converged" if field.converged else "SCF stopped before convergence", field.e_tot)
    result = mean_field_result(field, spec, watch)
    watch.stage(2, 2, "Properties computed", field.e_tot)
    return result


def mean_field_result(field: Any, spec: Spec, watch: Watch) -> Result:
    """The result of a finished mean field; a gradient if the task asks for it."""
    gradient = None
    if isinstance(spec.task, Energy) and spec.task.gradient:
        watch.check()
        gradient = field.nuc_grad_method().kernel()
    total, spin = densities(field)
    return Result(
        energy_hartree=float(field.e_tot),
        converged=bool(field.converged),
        components=components(field),
        reference=describe(field),
        orbitals=properties.orbitals(field.mo_energy, field.mo_occ),
        properties=properties.from_density(field.mol, total, spin, field.get_ovlp(), "hf", gradient),
    )


def components(field: Any) -> dict[str, float]:
    """Parts of the total energy that every method reports."""
    return {
        "hf_hartree": float(field.e_tot),
        "nuclear_repulsion_hartree": float(field.energy_nuc()),
    }


def describe(field: Any) -> Reference:
    """Type, S^2 and (where it was tested) stability of the determinant."""
    kind = kind_of(field)
    if kind == "uhf":
        s_squared = properties.determinant_s_squared(field.mo_coeff, field.mo_occ, field.get_ovlp())
    else:
        half = field.mol.spin / 2
        s_squared = half * (half + 1)
    return Reference(type=kind, s_squared=s_squared, stable=getattr(field, "kanad_stable", None))


def kind_of(field: Any) -> Kind:
    """Which of the three kinds a PySCF mean field is."""
    if isinstance(field, scf.uhf.UHF):
        return "uhf"
    return "rohf" if isinstance(field, scf.rohf.ROHF) else "rhf"


def densities(field: Any) -> tuple[Array, Array | None]:
    """Total and spin density (None for RHF) in the AO basis, each shape (nao, nao)."""
    dm = field.make_rdm1()
    if np.ndim(dm) == 2:
        return np.asarray(dm), None
    return np.asarray(dm[0] + dm[1]), np.asarray(dm[0] - dm[1])


# Iterations


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
    options = spec.method if isinstance(spec.method, HartreeFock) else HartreeFock()
    kind = kind or _kind(options, mol.spin)
    field = _field(mol, kind, options)
    if options.density_fit:
        field = _fit_density(field, spec.basis, watch)
    meter = _Meter(watch)
    field.callback = meter
    guess = mole.initial_density(mol, field.get_ovlp())
    _iterate(field, mole.split_by_spin(mol, guess) if kind == "uhf" else guess)
    if not field.converged:
        field = _rescue(field, meter, watch)
    if options.check_stability or (options.check_stability is None and kind == "uhf"):
        field = _settle(field, meter, watch)
    if not np.isfinite(field.e_tot):
        raise NotConverged(f"{kind} gave the energy {field.e_tot}", last_energy_hartree=meter.energy)
    if not field.converged:
        watch.warn(
            f"{kind.upper()} did not reach {options.conv_tol:g} hartree in {options.max_iterations} "
            "iterations; its energy is that of the last one: raise max_iterations or check the molecule"
        )
    return field


def _kind(options: HartreeFock, unpaired: int) -> Kind:
    if options.reference == "auto":
        return "uhf" if unpaired else "rhf"
    if options.reference == "rhf" and unpaired:
        raise InvalidSpec.at(
            "$.method.reference", f"rhf needs multiplicity 1, got {unpaired + 1}; use uhf, rohf or auto"
        )
    return options.reference


def _field(mol: Any, kind: Kind, options: HartreeFock) -> Any:
    make = {"rhf": scf.hf.RHF, "uhf": scf.uhf.UHF, "rohf": scf.rohf.ROHF}[kind]
    field = make(mol)
    field.conv_tol = options.conv_tol
    field.max_cycle = options.max_iterations
    nuclear = mol.energy_nuc()
    field.energy_nuc = lambda: nuclear  # asked for on every cycle; the nuclei do not move
    overlap = mol.intor_symmetric("int1e_ovlp")
    field.get_ovlp = lambda other=None: overlap if other is None or other is mol else hf.get_ovlp(other)
    return field


def _fit_density(field: Any, basis: str, watch: Watch) -> Any:
    """The same mean field with fitted integrals, and a warning that names the fit."""
    from pyscf import df

    known = df.addons.DEFAULT_AUXBASIS.get(gto.basis._format_basis_name(basis).rstrip("*").split("(")[0])
    symbols = {symbol for symbol, _ in field.mol._atom}
    auxiliary: Any = None
    name = "even-tempered"
    if known is not None:
        try:
            auxiliary = {symbol: gto.basis.load(known[0], symbol) for symbol in symbols}
            name = known[0]
        except gto.basis.BasisNotFoundError:
            auxiliary = None  # an element is missing: even-tempered functions for all
    watch.warn(f"density fitting with the {name} auxiliary basis: total energies shift by up to 0.1 mHa")
    return field.density_fit(auxbasis=auxiliary)


class _Meter:
    """SCF callback: one report per cycle, counted on over rescue attempts; ends the run when cancelled."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._iteration = 0
        self.energy: float | None = None

    def __call__(self, cycle: dict[str, Any]) -> None:
        self._iteration += 1
        energy = float(cycle["e_tot"])
        delta = None if self.energy is None else energy - self.energy
        residual = cycle.get("norm_gorb")
        self._watch.converge("scf", self._iteration, energy, delta, residual)
        self.energy = energy


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


def _settle(field: Any, meter: _Meter, watch: Watch) -> Any:
    """Follows internal instabilities to a minimum (Seeger and Pople, J. Chem. Phys. 66, 3045 (1977)).

    Leaves the verdict in `field.kanad_stable`; does nothing for a field that has not converged.
    """
    for _ in range(FOLLOWED_INSTABILITIES):
        if not field.converged:
            return field
        watch.check()
        orbitals, stable = _downhill(field)
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
    _, stable = _downhill(field)
    field.kanad_stable = stable
    if not stable:
        watch.warn("the SCF solution is still a saddle point after following its instability four times")
    return field


def _downhill(field: Any) -> tuple[Any, bool]:
    """Orbitals turned along the lowest internal instability, and whether there was none."""
    occupations = np.atleast_2d(field.mo_occ)
    if all((occupation > 0).all() or not (occupation > 0).any() for occupation in occupations):
        return field.mo_coeff, True  # nothing to rotate: every orbital is full, or every one empty
    orbitals, _, stable, _ = field.stability(internal=True, external=False, return_status=True)
    return orbitals, bool(stable)


def _warn_external(field: Any, watch: Watch) -> None:
    """A stable RHF solution may still lie above a UHF one: say so, for it is not what was asked for."""
    if kind_of(field) == "rhf" and not is_stable_towards_uhf(field):
        watch.warn("the RHF solution is unstable towards UHF, as diradicals are; try reference uhf")


def is_stable_towards_uhf(field: Any) -> bool:
    """Whether no unrestricted solution lies below an RHF one in its neighbourhood."""
    if (field.mo_occ > 0).all():
        return True
    *_, stable = field.stability(internal=False, external=True, return_status=True)
    return bool(stable)
