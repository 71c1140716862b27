"""Which convention a result follows wherever programs differ, in sentences for the person who compares numbers."""

from __future__ import annotations

from collections.abc import Iterator

from kanad_solvers import basis as basis_sets
from kanad_solvers.spec import (
    Correlated,
    DensityFunctional,
    ExcitedStates,
    Frequencies,
    MollerPlesset,
    SinglesDoubles,
    Spec,
)

BOHR_ANGSTROM = 0.52917721092  # PySCF's (CODATA 2010)
_B3LYP = {
    "b3lyp": "b3lyp is that of Gaussian and NWChem, with VWN_RPA; b3lyp5 is another functional",
    "b3lyp5": "b3lyp5 has VWN5 correlation; Gaussian and NWChem mean b3lyp, with VWN_RPA",
}
_DISPERSION = {"d3bj": "D3(BJ) is the two-body sum", "d4": "D4 includes the three-body term"}


def applied(spec: Spec, symbols: tuple[str, ...]) -> tuple[str, ...]:
    """The conventions behind the result of a spec for a molecule of these elements."""
    return (*_functions(spec, symbols), *_method(spec), *_task(spec), *_solvent(spec))


def _functions(spec: Spec, symbols: tuple[str, ...]) -> Iterator[str]:
    if not symbols:
        return  # a Hamiltonian without a molecule
    yield f"1 bohr is {BOHR_ANGSTROM} angstrom"
    yield f"d and f functions are {'cartesian (6d, 10f)' if spec.cartesian else 'spherical (5d, 7f)'}"
    cores = {symbol: basis_sets.ecp_electrons(spec.basis, symbol) for symbol in sorted(set(symbols))}
    for symbol, electrons in cores.items():
        if electrons:
            yield f"{electrons} electrons of {symbol} are in the effective core potential of {spec.basis}"


def _method(spec: Spec) -> Iterator[str]:
    method = spec.method
    if isinstance(method, Correlated):
        yield "core electrons are frozen" if method.frozen_core else "all electrons are correlated (no frozen core)"
    if isinstance(method, MollerPlesset) and (spec.molecule.multiplicity or 1) > 1:
        yield "open shells are UMP2; ROHF-based MP2 differs by millihartrees"
    if isinstance(method, DensityFunctional):
        if method.xc in _B3LYP:
            yield _B3LYP[method.xc]
        if method.dispersion in _DISPERSION:
            yield _DISPERSION[method.dispersion]


def _task(spec: Spec) -> Iterator[str]:
    if isinstance(spec.task, Frequencies):
        yield "masses are those of the most abundant isotopes"
        if isinstance(spec.method, DensityFunctional):
            yield "the Hessian leaves out the response of the grid: wavenumbers may be off by up to 4 1/cm"
    if isinstance(spec.task, ExcitedStates) and isinstance(spec.method, SinglesDoubles):
        yield "EOM-CCSD gives no oscillator strengths here: they are absent, not zero"


def _solvent(spec: Spec) -> Iterator[str]:
    if spec.solvent is not None:
        yield "solvent cavities differ between programs: compare sign and size, not digits"
