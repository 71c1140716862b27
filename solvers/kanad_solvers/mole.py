"""From a resolved molecule to PySCF's: nuclei, basis, and the density that the iterations start from."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import gto, lib
from pyscf.scf import atom_hf, hf

from kanad_solvers import basis as basis_sets
from kanad_solvers import fcidump, model
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.properties import Array

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed
    from kanad_solvers.spec import Spec

# Share of the memory limit that PySCF may plan with; picked: the rest is for the interpreter and what it
# does not count.
MEMORY_SHARE = 0.6
LAST_MINAO_CHARGE = 96  # the ANO basis of the guess ends here


def build(spec: Spec, molecule: Parsed) -> Any:
    """A PySCF molecule made of numbers only: nothing in it is parsed, evaluated or opened.

    Raises:
        InvalidSpec: the number of electrons does not fit the multiplicity.
    """
    if molecule.orbitals is not None:
        return _model(spec, molecule)
    where = molecule.geometry
    symbols = sorted(set(where.symbols))
    mol = gto.Mole()
    mol.verbose = 0
    mol.atom = list(zip(where.symbols, where.coordinates_angstrom, strict=True))
    mol.basis = {symbol: basis_sets.load(spec.basis, symbol) for symbol in symbols}
    potentials = {symbol: basis_sets.load_ecp(spec.basis, symbol) for symbol in symbols}
    mol.ecp = {symbol: potential for symbol, potential in potentials.items() if potential}
    mol.charge = molecule.charge
    mol.spin = molecule.multiplicity - 1
    mol.cart = spec.cartesian
    mol.max_memory = spec.limits.memory_mb * MEMORY_SHARE
    if (molecule.electrons - mol.spin) % 2 or mol.spin > molecule.electrons:
        raise InvalidSpec.at(
            "$.molecule.multiplicity",
            f"{molecule.electrons} electrons cannot have multiplicity {molecule.multiplicity}",
        )
    mol.build(dump_input=False, parse_arg=False)
    return mol


def _model(spec: Spec, molecule: Parsed) -> Any:
    assert spec.molecule.fcidump is not None
    mol = model.molecule(fcidump.read(spec.molecule.fcidump), molecule.multiplicity)
    mol.max_memory = spec.limits.memory_mb * MEMORY_SHARE
    return mol


def initial_density(mol: Any, overlap: Array) -> Any:
    """Superposition of atomic densities: PySCF's `minao` guess, with the atomic part kept in a cache.

    Args:
        mol: a built PySCF molecule.
        overlap: AO overlap, shape (nao, nao).

    Returns:
        Total density matrix, shape (nao, nao), tagged with its orbitals so that exchange is cheap.
    """
    charges = mol.atom_charges()
    if mol.has_ecp() or (charges > LAST_MINAO_CHARGE).any() or (charges == 0).any():
        return hf.init_guess_by_minao(mol)
    symbols = [mol.atom_symbol(atom) for atom in range(mol.natm)]
    atomic = {symbol: _atomic_guess(symbol) for symbol in symbols}
    minimal = gto.Mole()
    shells = {symbol: shell for symbol, (shell, _) in atomic.items()}
    minimal._atm, minimal._bas, minimal._env = minimal.make_env(mol._atom, shells, [])
    minimal._built = True
    occupations = np.hstack([atomic[symbol][1] for symbol in symbols])
    # Projection on the basis of `mol`: S^-1 <basis|minimal>.
    orbitals = lib.cho_solve(overlap, gto.intor_cross("int1e_ovlp", mol, minimal), strict_sym_pos=False)
    density = (orbitals * occupations) @ orbitals.T
    return lib.tag_array(density, mo_coeff=orbitals, mo_occ=occupations)


def split_by_spin(mol: Any, density: Array) -> Array:
    """Alpha and beta halves of a guess, shape (2, nao, nao).

    For equal numbers of both spins the beta half loses the blocks between atoms: an unrestricted singlet that
    starts symmetric would stay symmetric, also where the broken solution is lower.
    """
    alpha, beta = np.array(density) / 2, np.array(density) / 2
    if mol.spin == 0:
        atom = np.repeat(np.arange(mol.natm), np.diff(mol.aoslice_by_atom()[:, 2:], axis=1).ravel())
        beta[atom[:, None] != atom[None, :]] = 0
    return np.array((alpha, beta))


@lru_cache(maxsize=128)
def _atomic_guess(symbol: str) -> tuple[list[Any], Array]:
    """Shells and spherically averaged occupations of a free atom in the first functions of its ANO basis."""
    shells = []
    occupations: list[float] = []
    natural = gto.basis.load("ano", symbol)
    for angular in range(4):
        full, fraction = atom_hf.frac_occ(symbol, angular)
        kept = full + 1
        shells.append([angular] + [primitive[: kept + 1] for primitive in natural[angular][1:]])
        for occupation in [2.0] * full + [float(fraction)]:
            occupations += [occupation] * (2 * angular + 1)
    return shells, np.array(occupations)
