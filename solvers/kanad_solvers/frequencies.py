"""Harmonic vibrations, infrared intensities and ideal-gas thermochemistry on analytic Hessians of HF and DFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from pyscf.data import elements, nist

from kanad_solvers import fields, mean_field, mole, optimize, properties, pyscf_log, self_consistent, thermochemistry
from kanad_solvers.elements import ATOMIC_NUMBER
from kanad_solvers.properties import Array
from kanad_solvers.result import Frequencies, Result
from kanad_solvers.run import InnerWatch, Watch
from kanad_solvers.spec import Energy, Spec
from kanad_solvers.spec import Frequencies as Task

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MAX_STEPS = 100
STATIONARY = 1e-3  # hartree/bohr; above, harmonic wavenumbers mean little
KM_PER_MOL = 974.8801  # of (d mu / d Q)^2 in e^2/amu: 42.2561 km/mol for 1 (D/angstrom)^2/amu
LINEAR_MOMENT = 1e-3  # amu bohr^2; the smallest moment of inertia of a linear molecule is below


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """Wavenumbers, normal modes, intensities and thermochemistry, at the minimum if `optimize_first`.

    Raises:
        What the method raises.
    """
    task = spec.task
    assert isinstance(task, Task)
    last = 4
    optimization = None
    if task.optimize_first and len(molecule.geometry.symbols) > 1:
        found, molecule = optimize.minimise(spec, molecule, InnerWatch(watch), MAX_STEPS, optimize.TIGHT)
        optimization = found.optimization
        watch.stage(0, last, "Geometry optimised", found.energy_hartree)
    field = self_consistent.converge(mole.build(spec, molecule), spec, watch)
    watch.stage(1, last, "SCF converged", field.e_tot)
    plain = mean_field.mean_field_result(field, replace(spec, task=Energy(gradient=True)), watch)
    _judge_gradient(plain, watch)
    second, response = hessian(field, watch)
    watch.stage(2, last, "Hessian computed", field.e_tot)
    masses = most_abundant_masses(molecule.geometry.symbols)
    wavenumbers, modes, reduced = normal_modes(second, masses, field.mol.atom_coords())
    watch.stage(3, last, "Normal modes found", field.e_tot)
    intensities = _intensities(dipole_derivatives(field, response), modes, reduced)
    imaginary = int((wavenumbers < 0).sum())
    if imaginary:
        watch.warn(
            f"{imaginary} imaginary wavenumbers: this is no minimum, and they are left out of the thermochemistry"
        )
    gas = thermochemistry.ideal_gas(
        float(field.e_tot), wavenumbers[wavenumbers > 0], masses, field.mol, task.temperature_k, task.pressure_pa
    )
    watch.stage(4, last, "Intensities and thermochemistry computed", field.e_tot)
    return replace(
        plain,
        optimization=optimization,
        geometry=molecule.geometry,
        converged=plain.converged and (optimization is None or optimization.converged),
        frequencies=Frequencies(
            wavenumbers_cm=tuple(wavenumbers.tolist()),
            ir_km_mol=tuple(intensities.tolist()),
            modes=tuple(tuple(properties.vector(row) for row in mode) for mode in modes),
            reduced_masses_amu=tuple(reduced.tolist()),
            temperature_k=task.temperature_k,
            pressure_pa=task.pressure_pa,
            **gas,
        ),
    )


def most_abundant_masses(symbols: tuple[str, ...]) -> Array:
    """Mass of the most abundant isotope of each atom, shape (natm,), amu."""
    return np.array([elements.COMMON_ISOTOPE_MASSES[ATOMIC_NUMBER[symbol]] for symbol in symbols])


def _judge_gradient(result: Result, watch: Watch) -> None:
    assert result.properties is not None
    largest = float(np.abs(np.array(result.properties.gradient_hartree_per_bohr)).max())
    if largest > STATIONARY:
        watch.warn(
            f"the gradient is {largest:.1e} hartree/bohr: this structure is no stationary point, so wavenumbers mean "
            "little; ask for optimize_first"
        )


def hessian(field: Any, watch: Watch) -> tuple[Array, Array]:
    """Second derivatives of the energy and first ones of the density.

    Returns:
        The Hessian, shape (natm, natm, 3, 3), hartree/bohr^2, and what `dipole_derivatives` takes as `response`.
    """
    watch.check()
    atoms = field.mol.natm
    if atoms == 1:  # nothing changes when an atom moves
        return np.zeros((1, 1, 3, 3)), np.zeros((1, 3, field.mol.nao, field.mol.nao))
    maker = field.Hessian()
    solve_orbitals = maker.solve_mo1
    response = np.zeros((atoms, 3, field.mol.nao, field.mol.nao))

    def note_orbitals(mo_energy: Any, mo_coeff: Any, mo_occ: Any, *rest: Any) -> Any:
        watch.check()
        found = solve_orbitals(mo_energy, mo_coeff, mo_occ, *rest)
        spins = [(found[0], mo_coeff, mo_occ)] if np.ndim(mo_occ) == 1 else zip(found[0], mo_coeff, mo_occ, strict=True)
        for orbitals, coefficients, occupations in spins:
            occupied = coefficients[:, occupations > 0] * occupations[occupations > 0]
            half = np.array([np.einsum("xpi,qi->xpq", moved, occupied) for moved in orbitals])
            response[:] += half + half.transpose(0, 1, 3, 2)
        return found

    maker.solve_mo1 = note_orbitals
    pyscf_log.listen(maker, pyscf_log.atoms(watch, "Hessian integrals", 2 * atoms), pyscf_log.DETAILED)
    with fields.interruptible(field, watch):
        return np.asarray(maker.kernel()), response


# Vibrations


def normal_modes(hessian: Array, masses: Array, coordinates: Array) -> tuple[Array, Array, Array]:
    """Harmonic vibrations, translations and rotations projected out.

    Wilson, Decius and Cross, Molecular Vibrations (1955), in cartesian coordinates.

    Args:
        hessian: shape (natm, natm, 3, 3), hartree/bohr^2.
        masses: shape (natm,), amu.
        coordinates: shape (natm, 3), bohr.

    Returns:
        Wavenumbers (imaginary ones negative), shape (n,), 1/cm; unit vectors of cartesian displacements, shape
        (n, natm, 3); reduced masses, shape (n,), amu.
    """
    weights = np.repeat(1 / np.sqrt(masses), 3)
    size = len(weights)
    weighted = hessian.transpose(0, 2, 1, 3).reshape(size, size) * np.outer(weights, weights)
    inside = _vibrations(masses, coordinates)
    values, vectors = np.linalg.eigh(inside.T @ ((weighted + weighted.T) / 2) @ inside)
    to_wavenumber = np.sqrt(nist.HARTREE2J / (nist.ATOMIC_MASS * nist.BOHR_SI**2)) / (
        2 * np.pi * nist.LIGHT_SPEED_SI * 100
    )
    wavenumbers = np.sign(values) * np.sqrt(np.abs(values)) * to_wavenumber
    displacements = (inside @ vectors).T * weights
    norms = np.linalg.norm(displacements, axis=1)
    modes = (displacements / norms[:, None]).reshape(-1, len(masses), 3)
    return wavenumbers, modes, 1 / norms**2


def _vibrations(masses: Array, coordinates: Array) -> Array:
    """Orthonormal mass-weighted directions that neither shift nor turn the molecule, shape (3 natm, n)."""
    roots = np.sqrt(masses)
    centred = coordinates - masses @ coordinates / masses.sum()
    outer = [np.outer(roots, axis).ravel() for axis in np.eye(3)]
    turns = [(roots[:, None] * np.cross(axis, centred)).ravel() for axis in np.eye(3)]
    inertia = np.linalg.svd(np.array(turns).T, full_matrices=False)
    kept = inertia[0][:, inertia[1] ** 2 > LINEAR_MOMENT]
    shifts = np.array(outer).T / np.sqrt(masses.sum())
    basis = np.hstack((shifts, kept))
    left, _, _ = np.linalg.svd(basis, full_matrices=True)
    return np.asarray(left[:, basis.shape[1] :])


# Intensities


def _intensities(derivatives: Array, modes: Array, reduced: Array) -> Array:
    """Infrared intensities in the double-harmonic approximation, shape (n,), km/mol."""
    along = np.einsum("nax,axm->nm", modes, derivatives) / np.sqrt(reduced)[:, None]
    return np.asarray(KM_PER_MOL * np.sum(along**2, axis=1))


def dipole_derivatives(field: Any, response: Array) -> Array:
    """d mu / dR, shape (natm, 3, 3) with the dipole last, e.

    Its electronic part is minus the trace of <mu|r|nu> with the derivative of the density (from the coupled-perturbed
    orbitals that the Hessian needs anyway) and of the density with the derivative of <mu|r|nu> by the motion of the
    basis functions; Yamaguchi et al., A New Dimension to Quantum Chemistry (1994), chapter 17.

    Args:
        field: a converged mean field.
        response: derivatives of the density by the coordinates at fixed basis functions, shape (natm, 3, nao, nao).
    """
    mol = field.mol
    density, _ = mean_field.densities(field)
    derivatives = -np.einsum("axij,mij->axm", response, properties.dipole_integrals(mol))
    # An orbital that moves by dx changes by -d/dx.
    moved = mol.intor("int1e_irp", comp=9).reshape(3, 3, mol.nao, mol.nao)
    for atom, (_, _, start, stop) in enumerate(mol.aoslice_by_atom()):
        derivatives[atom] += 2 * np.einsum("mxij,ij->xm", moved[:, :, :, start:stop], density[:, start:stop])
        derivatives[atom] += mol.atom_charge(atom) * np.eye(3)
    return np.asarray(derivatives)
