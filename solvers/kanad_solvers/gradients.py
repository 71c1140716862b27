"""Nuclear gradients: PySCF's analytic ones, made to listen, and central differences for methods without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from kanad_solvers import fields, pyscf_log
from kanad_solvers.internal import ANGSTROM_PER_BOHR
from kanad_solvers.properties import Array
from kanad_solvers.run import Solver, Watch
from kanad_solvers.spec import Energy, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

# Picked: the error of the formula is of order 1e-6 hartree/bohr, that of energies good to 1e-9 below 1e-6.
STEP_ANGSTROM = 0.002


def analytic(solver: Any, watch: Watch, **integrals: Any) -> Array:
    """dE/dR from a PySCF gradient object, shape (natm, 3), hartree/bohr.

    Args:
        solver: not yet run; it can be ended wherever PySCF logs a line or builds a potential.
        integrals: `eris` of coupled cluster, where they are still there.
    """
    watch.check()
    field = getattr(solver.base, "_scf", solver.base)
    lines = pyscf_log.atoms(watch, "gradient", solver.mol.natm)
    with pyscf_log.heard(solver, lines, pyscf_log.DETAILED), fields.interruptible(field, watch):
        return np.asarray(solver.kernel(**integrals))


def numerical_gradient(solve: Solver, spec: Spec, molecule: Parsed, watch: Watch) -> Array | None:
    """dE/dR by 6 N energies, shape (natm, 3), hartree/bohr; None unless the task asks for it.

    Args:
        solve: the method; called with energy tasks at displaced geometries, its reports dropped.
    """
    if not (isinstance(spec.task, Energy) and spec.task.gradient):
        return None
    watch.warn(f"the gradient was taken by central differences of {STEP_ANGSTROM} angstrom")
    silent = Watch(lambda _: None, watch.cancelled)
    plain = msgspec.structs.replace(spec, task=Energy())
    start = np.array(molecule.geometry.coordinates_angstrom)
    gradient = np.zeros_like(start)
    for place in np.ndindex(*start.shape):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * STEP_ANGSTROM
            ends.append(solve(plain, _moved(molecule, moved), silent).energy_hartree)
        gradient[place] = (ends[0] - ends[1]) / (2 * STEP_ANGSTROM / ANGSTROM_PER_BOHR)
    return gradient


def _moved(molecule: Parsed, coordinates: Array) -> Parsed:
    rows = tuple((float(x), float(y), float(z)) for x, y, z in coordinates)
    geometry = msgspec.structs.replace(molecule.geometry, coordinates_angstrom=rows)
    return msgspec.structs.replace(molecule, geometry=geometry)
