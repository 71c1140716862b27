"""One-electron properties from a density matrix, and orbital tables: what a chemist reads beside the energy.

All of it costs two one-electron integrals and a few small matrix products, so that properties do not show
in the time of a solve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.result import BondOrder, ElectronicState, Orbitals, Properties, Vector

Array = NDArray[np.float64]


class SpinFields(TypedDict):
    """`s_squared` and `label` of an electronic state."""

    s_squared: float
    label: str


DEBYE_PER_AU = 2.541746473  # CODATA 2018: e * bohr in debye
EV_PER_HARTREE = 27.211386245988  # CODATA 2018
BOND_ORDER_SHOWN = 0.05  # picked: below a hydrogen bond, above the noise of a Mulliken-type partition
DEGENERATE_HARTREE = 1e-6


def from_density(
    mol: Any,
    density: Array,
    spin_density: Array | None,
    overlap: Array,
    label: str,
    gradient: Array | None = None,
) -> Properties:
    """Dipole, Mulliken charges and Mayer bond orders of one density.

    Args:
        mol: a built PySCF molecule.
        density: alpha + beta density matrix in the AO basis, shape (nao, nao).
        spin_density: alpha - beta, same shape; None for a singlet.
        overlap: AO overlap, same shape.
        label: which method the density came from.
        gradient: nuclear gradient, shape (natm, 3), hartree/bohr, where it was asked for.

    The dipole of a charged molecule depends on the origin: it is that of the coordinates.
    """
    population = density @ overlap
    spin_population = None if spin_density is None else spin_density @ overlap
    return Properties(
        density=label,
        dipole_debye=vector(dipole_au(mol, density) * DEBYE_PER_AU),
        mulliken_charges=tuple(_mulliken(mol, population).tolist()),
        bond_orders=_mayer(mol, population, spin_population),
        gradient_hartree_per_bohr=None if gradient is None else tuple(vector(row) for row in gradient),
    )


def dipole_au(mol: Any, density: Array) -> Array:
    """Dipole moment about the coordinate origin, shape (3,), atomic units."""
    electrons = np.einsum("xij,ji->x", dipole_integrals(mol), density)
    return cast("Array", mol.atom_charges() @ mol.atom_coords() - electrons)


def dipole_integrals(mol: Any) -> Array:
    """<i|r|j> about the coordinate origin, shape (3, nao, nao), bohr."""
    return cast("Array", mol.intor_symmetric("int1e_r", comp=3))


def vector(row: Any) -> Vector:
    """Three floats out of anything with three numbers."""
    x, y, z = row
    return (float(x), float(y), float(z))


def _atom_starts(mol: Any) -> NDArray[np.intp]:
    return cast("NDArray[np.intp]", mol.aoslice_by_atom()[:, 2])


def _mulliken(mol: Any, population: Array) -> Array:
    """Charge of each atom, Z_A - sum_{i in A} (P S)_ii (Mulliken, J. Chem. Phys. 23, 1833 (1955))."""
    electrons = np.add.reduceat(population.diagonal(), _atom_starts(mol))
    return cast("Array", mol.atom_charges() - electrons)


def _mayer(mol: Any, population: Array, spin_population: Array | None) -> tuple[BondOrder, ...]:
    """B_AB = sum_{i in A, j in B} (PS)_ij (PS)_ji + (Ps S)_ij (Ps S)_ji, with the spin density Ps.

    Mayer, Chem. Phys. Lett. 97, 270 (1983).
    """
    if mol.natm < 2:
        return ()
    pairs = population * population.T
    if spin_population is not None:
        pairs = pairs + spin_population * spin_population.T
    starts = _atom_starts(mol)
    orders = np.add.reduceat(np.add.reduceat(pairs, starts, axis=0), starts, axis=1)
    return tuple(
        BondOrder(atoms=(a, b), order=float(orders[a, b]))
        for a in range(mol.natm)
        for b in range(a + 1, mol.natm)
        if orders[a, b] > BOND_ORDER_SHOWN
    )


def orbitals(mo_energy: Any, mo_occ: Any) -> Orbitals:
    """The orbital table of a restricted (1-d arrays) or unrestricted (a pair of them) mean field."""
    occupied = np.ravel(mo_occ) > 0
    energies = np.ravel(mo_energy)
    homo = float(energies[occupied].max()) if occupied.any() else None
    lumo = float(energies[~occupied].min()) if not occupied.all() else None
    if np.ndim(mo_occ) == 1:
        return Orbitals(
            energies_hartree=tuple(energies.tolist()),
            occupations=tuple(np.ravel(mo_occ).tolist()),
            homo_hartree=homo,
            lumo_hartree=lumo,
        )
    return Orbitals(
        energies_hartree=tuple(mo_energy[0].tolist()),
        occupations=tuple(mo_occ[0].tolist()),
        homo_hartree=homo,
        lumo_hartree=lumo,
        beta_energies_hartree=tuple(mo_energy[1].tolist()),
        beta_occupations=tuple(mo_occ[1].tolist()),
    )


def determinant_s_squared(mo_coeff: Any, mo_occ: Any, overlap: Array) -> float:
    """<S^2> of an unrestricted determinant (Szabo and Ostlund, eq. 2.271).

    Args:
        mo_coeff: alpha and beta coefficients, each shape (nao, nmo).
        mo_occ: alpha and beta occupations, each shape (nmo,).
        overlap: AO overlap, shape (nao, nao).
    """
    alpha = mo_coeff[0][:, np.asarray(mo_occ[0]) > 0]
    beta = mo_coeff[1][:, np.asarray(mo_occ[1]) > 0]
    half = (alpha.shape[1] - beta.shape[1]) / 2
    return float(half * (half + 1) + beta.shape[1] - np.sum((alpha.T @ overlap @ beta) ** 2))


def oscillator_strength(excitation_hartree: float, moment: Array) -> float:
    """f = 2/3 dE |<0|r|n>|^2, length gauge; the moment is a vector of shape (3,) in atomic units."""
    return float(2 / 3 * excitation_hartree * np.sum(np.asarray(moment) ** 2))


def electronic_states(
    energies: Sequence[float] | Array, s_squared: Sequence[float] | Array, moments: Iterable[Array | None]
) -> tuple[ElectronicState, ...]:
    """The ground state and those above it, with dipole transitions from the ground state (length gauge).

    Args:
        energies: total energies, the ground state first, shape (n,), hartree.
        s_squared: <S^2> of each, shape (n,).
        moments: transition dipoles from the ground state to each state above it, n - 1 of shape (3,), atomic units;
            None where they are not known.
    """
    floor = float(energies[0])
    states = [ElectronicState(index=0, energy_hartree=floor, excitation_ev=0.0, **spin_fields(s_squared[0]))]
    for index, moment in enumerate(moments, 1):
        excitation = float(energies[index]) - floor
        states.append(
            ElectronicState(
                index=index,
                energy_hartree=float(energies[index]),
                excitation_ev=excitation * EV_PER_HARTREE,
                oscillator_strength=None if moment is None else oscillator_strength(excitation, moment),
                transition_dipole_au=None if moment is None else vector(moment),
                **spin_fields(s_squared[index]),
            )
        )
    return tuple(states)


def spin_fields(s_squared: float) -> SpinFields:
    """The fields of an electronic state that tell its spin."""
    return {"s_squared": float(s_squared), "label": spin_label(float(s_squared))}


def spin_label(s_squared: float) -> str:
    """`singlet`, `doublet`, ..., or `mixed` where S^2 is that of no pure spin."""
    multiplicity = float(np.sqrt(4 * max(s_squared, 0.0) + 1))
    names = {1: "singlet", 2: "doublet", 3: "triplet", 4: "quartet", 5: "quintet"}
    nearest = round(multiplicity)
    if abs(multiplicity - nearest) > 0.1:
        return "mixed"
    return names.get(nearest, f"multiplicity {nearest}")
