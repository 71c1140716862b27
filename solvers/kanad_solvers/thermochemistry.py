"""Ideal-gas thermochemistry: rigid rotor, harmonic oscillators (McQuarrie, Statistical Mechanics, chapter 8)."""

from __future__ import annotations

import re
from typing import Any, TypedDict

import numpy as np
from pyscf.data import nist

from kanad_solvers.properties import Array

KELVIN_TO_HARTREE = nist.BOLTZMANN / nist.HARTREE2J
CM_TO_KELVIN = nist.PLANCK * nist.LIGHT_SPEED_SI * 100 / nist.BOLTZMANN
LINEAR_RATIO = 1e-6  # of the smallest moment of inertia to the largest
POINT_GROUP_TOLERANCE = 1e-3  # bohr; an optimised structure is symmetric to about that


class IdealGas(TypedDict):
    """The thermodynamic fields of `result.Frequencies`."""

    symmetry_number: int
    point_group: str
    zpe_hartree: float
    thermal_energy_hartree: float
    enthalpy_hartree: float
    entropy_hartree_per_k: float
    gibbs_hartree: float
    heat_capacity_hartree_per_k: float


def ideal_gas(
    energy: float, wavenumbers: Array, masses: Array, mol: Any, temperature: float, pressure: float
) -> IdealGas:
    """Energy, enthalpy, entropy and Gibbs energy of one mole per molecule of an ideal gas.

    Args:
        energy: total electronic energy, hartree.
        wavenumbers: of the real vibrations, shape (n,), 1/cm.
        masses: shape (natm,), amu.
        mol: a built PySCF molecule, for coordinates, multiplicity and point group.
        temperature: kelvin.
        pressure: pascal.
    """
    group = point_group(mol)
    sigma = symmetry_number(group)
    translation = _translation(masses.sum(), temperature, pressure)
    rotation = _rotation(masses, mol.atom_coords(), sigma, temperature)
    zpe, vibration = _vibration(wavenumbers, temperature)
    electronic = (0.0, float(np.log(mol.spin + 1)), 0.0)
    thermal, entropy, capacity = (
        sum(part[place] for part in (translation, rotation, vibration, electronic)) for place in range(3)
    )
    in_hartree = KELVIN_TO_HARTREE * temperature
    enthalpy = energy + zpe + in_hartree * (thermal + 1)
    return IdealGas(
        symmetry_number=sigma,
        point_group=group,
        zpe_hartree=zpe,
        thermal_energy_hartree=energy + zpe + in_hartree * thermal,
        enthalpy_hartree=enthalpy,
        entropy_hartree_per_k=KELVIN_TO_HARTREE * entropy,
        gibbs_hartree=enthalpy - in_hartree * entropy,
        heat_capacity_hartree_per_k=KELVIN_TO_HARTREE * capacity,
    )


def point_group(mol: Any) -> str:
    """Schoenflies symbol in PySCF's spelling (Dooh and Coov for linear molecules)."""
    from pyscf import symm
    from pyscf.symm import geom

    before = geom.TOLERANCE
    geom.TOLERANCE = POINT_GROUP_TOLERANCE
    try:
        return str(symm.detect_symm(mol._atom)[0])
    finally:
        geom.TOLERANCE = before


def symmetry_number(group: str) -> int:
    """Rotations that leave a molecule of this point group as it is: the order of its rotational subgroup."""
    fixed = {"SO3": 1, "C1": 1, "Ci": 1, "Cs": 1, "Coov": 1, "Dooh": 2, "T": 12, "Td": 12, "Th": 12,
             "O": 24, "Oh": 24, "I": 60, "Ih": 60}  # fmt: skip
    if group in fixed:
        return fixed[group]
    order = int("".join(re.findall(r"\d+", group)))
    return {"C": order, "D": 2 * order, "S": order // 2}[group[0]]


# Each part: (energy in units of kT, entropy in units of k, heat capacity at constant volume in units of k)

Part = tuple[float, float, float]


def _translation(mass_amu: float, temperature: float, pressure: float) -> Part:
    thermal = nist.BOLTZMANN * temperature
    length = (2 * np.pi * mass_amu * nist.ATOMIC_MASS * thermal / nist.PLANCK**2) ** 1.5
    return 1.5, float(2.5 + np.log(length * thermal / pressure)), 1.5


def _rotation(masses: Array, coordinates: Array, sigma: int, temperature: float) -> Part:
    centred = (coordinates - masses @ coordinates / masses.sum()) * nist.BOHR_SI
    weights = masses * nist.ATOMIC_MASS
    tensor = np.sum(weights * np.sum(centred**2, axis=1)) * np.eye(3) - centred.T @ (weights[:, None] * centred)
    moments = np.linalg.eigvalsh(tensor)
    if len(masses) == 1:
        return 0.0, 0.0, 0.0
    temperatures = nist.PLANCK**2 / (8 * np.pi**2 * moments[moments > moments[2] * LINEAR_RATIO] * nist.BOLTZMANN)
    if len(temperatures) == 2:
        return 1.0, float(1 + np.log(temperature / (sigma * temperatures[-1]))), 1.0
    return 1.5, float(1.5 + np.log(np.sqrt(np.pi * temperature**3 / np.prod(temperatures)) / sigma)), 1.5


def _vibration(wavenumbers: Array, temperature: float) -> tuple[float, Part]:
    """Zero-point energy (hartree) and the thermal part above it."""
    kelvin = wavenumbers * CM_TO_KELVIN
    zpe = float(kelvin.sum() / 2 * KELVIN_TO_HARTREE)
    x = kelvin / temperature
    with np.errstate(over="ignore"):
        filled = 1 / np.expm1(x)
        entropy = x * filled - np.log1p(-np.exp(-x))
        capacity = x**2 * filled * (filled + 1)
    return zpe, (float(np.sum(x * filled)), float(np.sum(entropy)), float(np.sum(capacity)))
