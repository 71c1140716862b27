"""Which PySCF mean field a spec means: Hartree-Fock or Kohn-Sham, its spin, density fitting, dispersion and solvent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pyscf import gto, scf
from pyscf.scf import hf

from kanad_solvers.errors import InvalidSpec
from kanad_solvers.functionals import FUNCTIONALS
from kanad_solvers.spec import (
    Correlated,
    DensityFunctional,
    HartreeFock,
    MeanField,
    Solvent,
    Spec,
)

if TYPE_CHECKING:
    from kanad_solvers.run import Watch

hf.MUTE_CHKFILE = True  # an HDF5 file per SCF object and a write per cycle cost a third of a small solve

VV10_GRID_LEVEL = 1

Kind: TypeAlias = Literal["rhf", "uhf", "rohf"]


def options_of(spec: Spec) -> MeanField:
    """The options of the mean field under the spec's method; correlated methods stand on Hartree-Fock."""
    if isinstance(spec.method, MeanField):
        return spec.method
    if isinstance(spec.method, Correlated):
        return HartreeFock(reference=spec.method.reference, density_fit=spec.method.density_fit)
    return HartreeFock()


def kind_for(options: MeanField, unpaired: int) -> Kind:
    """The kind of reference that the options ask for.

    Raises:
        InvalidSpec: a restricted one was asked for unpaired electrons.
    """
    if options.reference == "auto":
        return "uhf" if unpaired else "rhf"
    if options.reference == "rhf" and unpaired:
        raise InvalidSpec.at(
            "$.method.reference", f"rhf needs multiplicity 1, got {unpaired + 1}; use uhf, rohf or auto"
        )
    return options.reference


def kind_of(field: Any) -> Kind:
    """Which of the three kinds a PySCF mean field is."""
    if isinstance(field, scf.uhf.UHF):
        return "uhf"
    return "rohf" if isinstance(field, scf.rohf.ROHF) else "rhf"


def build(mol: Any, kind: Kind, spec: Spec, watch: Watch) -> Any:
    """The mean field of the molecule in the gas phase, not yet iterated."""
    options = options_of(spec)
    field = _kohn_sham(mol, kind, options) if isinstance(options, DensityFunctional) else _hartree_fock(mol, kind)
    field.conv_tol = options.conv_tol
    field.max_cycle = options.max_iterations
    nuclear = mol.energy_nuc()
    field.energy_nuc = lambda: nuclear  # asked for on every cycle; the nuclei do not move
    overlap = mol.intor_symmetric("int1e_ovlp")
    field.get_ovlp = lambda other=None: overlap if other is None or other is mol else hf.get_ovlp(other)
    return _fit_density(field, spec.basis, watch) if options.density_fit else field


@contextmanager
def interruptible(field: Any, watch: Watch) -> Iterator[None]:
    """Makes each Coulomb or exchange matrix, and each block of grid points, a chance to end the run within the `with`.

    Stability analyses, coupled-perturbed equations and Z-vectors call nothing else of ours while they iterate.
    """

    def checked(build: Callable[..., Any]) -> Callable[..., Any]:
        def built(*args: Any, **options: Any) -> Any:
            watch.check()
            return build(*args, **options)

        return built

    def checked_blocks(loop: Callable[..., Any]) -> Callable[..., Any]:
        def blocks(*args: Any, **options: Any) -> Iterator[Any]:
            for block in loop(*args, **options):
                watch.check()
                yield block

        return blocks

    names = ("get_jk", "get_j", "get_k")
    for name in names:
        setattr(field, name, checked(getattr(field, name)))
    grid = getattr(field, "_numint", None)
    if grid is not None:
        grid.block_loop = checked_blocks(grid.block_loop)
    try:
        yield
    finally:
        for name in names:
            delattr(field, name)
        if grid is not None:
            del grid.block_loop


def in_solvent(field: Any, solvent: Solvent) -> Any:
    """The same mean field inside a continuum (C-PCM, SMD or ddCOSMO), not yet iterated."""
    from pyscf import solvent as models

    from kanad_solvers.solvents import permittivities

    epsilon = permittivities()[solvent.name]
    if solvent.model == "smd":
        wrapped = models.SMD(field)
        wrapped.with_solvent.solvent = solvent.name
        return wrapped
    wrapped = models.PCM(field) if solvent.model == "cpcm" else models.ddCOSMO(field)
    if solvent.model == "cpcm":
        wrapped.with_solvent.method = "C-PCM"
    wrapped.with_solvent.eps = epsilon
    return wrapped


def _hartree_fock(mol: Any, kind: Kind) -> Any:
    return {"rhf": scf.hf.RHF, "uhf": scf.uhf.UHF, "rohf": scf.rohf.ROHF}[kind](mol)


def _kohn_sham(mol: Any, kind: Kind, options: DensityFunctional) -> Any:
    from pyscf.dft import rks, roks, uks

    make = {"rhf": rks.RKS, "uhf": uks.UKS, "rohf": roks.ROKS}[kind]
    field = make(mol, xc=FUNCTIONALS[options.xc].xc)
    field.grids.level = options.grid_level
    if FUNCTIONALS[options.xc].has_vv10:
        # The nonlocal term is smooth: a coarse grid does (Vydrov and Van Voorhis, J. Chem. Phys. 133, 244103 (2010)).
        field.nlcgrids.level = min(options.grid_level, VV10_GRID_LEVEL)
    if options.dispersion != "none":
        field.disp = options.dispersion
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
