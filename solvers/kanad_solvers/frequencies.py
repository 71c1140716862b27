"""Harmonic vibrations, infrared intensities and ideal-gas thermochemistry on analytic Hessians of HF and DFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from pyscf.data import elements, nist

from kanad_solvers import mean_field, mole, optimize, properties, pyscf_log, self_consistent, thermochemistry
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
FIELD_AU = 1e-3  # strength of the field for dipole derivatives: the error is of second order in it
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
    hessian = _hessian(field, watch)
    watch.stage(2, last, "Hessian computed", field.e_tot)
    masses = most_abundant_masses(molecule.geometry.symbols)
    wavenumbers, modes, reduced = normal_modes(hessian, masses, field.mol.atom_coords())
    watch.stage(3, last, "Normal modes found", field.e_tot)
    intensities = _intensities(field, modes, reduced, watch)
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


def _hessian(field: Any, watch: Watch) -> Array:
    """Second derivatives of the energy, shape (natm, natm, 3, 3), hartree/bohr^2."""
    watch.check()
    maker = field.Hessian()
    atoms = field.mol.natm
    done = 0

    def beat(line: str) -> None:
        nonlocal done
        done += "for atom" in line
        watch.beat("Hessian integrals", min(done, 2 * atoms), 2 * atoms)

    pyscf_log.listen(maker, beat, pyscf_log.DETAILED)
    return np.asarray(maker.kernel())


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


def _intensities(field: Any, modes: Array, reduced: Array, watch: Watch) -> Array:
    """Infrared intensities in the double-harmonic approximation, shape (n,), km/mol."""
    if not len(modes):
        return np.zeros(0)
    derivatives = dipole_derivatives(field, watch)
    along = np.einsum("nax,axm->nm", modes, derivatives) / np.sqrt(reduced)[:, None]
    return np.asarray(KM_PER_MOL * np.sum(along**2, axis=1))


def dipole_derivatives(field: Any, watch: Watch) -> Array:
    """d mu / dR, shape (natm, 3, 3) with the dipole last, e, from gradients in finite electric fields.

    mu = -dE/dF, so d mu_m / dR = -d(gradient)/dF_m: six gradients, whatever the number of atoms.
    """
    derivatives = np.zeros((field.mol.natm, 3, 3))
    for axis in range(3):
        ends = []
        for place, sign in enumerate((1, -1)):
            watch.beat("dipole derivatives", 2 * axis + place, 6)
            ends.append(_gradient_in_field(field, axis, sign * FIELD_AU, watch))
        derivatives[:, :, axis] = -(ends[0] - ends[1]) / (2 * FIELD_AU)
    return derivatives


def _gradient_in_field(field: Any, axis: int, strength: float, watch: Watch) -> Array:
    """Nuclear gradient in a homogeneous electric field along one axis, shape (natm, 3), hartree/bohr."""
    mol = field.mol
    inside = field.copy()
    one_body = field.get_hcore() + strength * properties.dipole_integrals(mol)[axis]
    inside.get_hcore = lambda *_: one_body
    inside.callback = lambda _: watch.check()
    inside.kernel(dm0=field.make_rdm1())
    maker = inside.nuc_grad_method()
    maker.verbose = 0
    gradient = np.array(maker.kernel())
    density, _ = mean_field.densities(inside)
    # The gradient code knows neither the pull on the nuclei nor the motion of <mu|r|nu> with its basis functions.
    moved = mol.intor("int1e_irp", comp=9).reshape(3, 3, mol.nao, mol.nao)[axis]
    for atom, (_, _, start, stop) in enumerate(mol.aoslice_by_atom()):
        pull = np.einsum("xij,ij->x", moved[:, :, start:stop], density[:, start:stop])
        gradient[atom] -= 2 * strength * pull
        gradient[atom, axis] -= strength * mol.atom_charge(atom)
    return gradient
