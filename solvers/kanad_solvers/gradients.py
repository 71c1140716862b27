"""Nuclear gradients: PySCF's analytic ones, made to listen, and central differences for methods without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pyscf.grad import rhf as pyscf_gradient
from pyscf.scf import _vhf

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
    if type(solver).get_jk is pyscf_gradient.GradientsBase.get_jk:  # not with fitted densities, which are quick
        _build_by_atom(solver, watch)
    with pyscf_log.heard(solver, lines, pyscf_log.DETAILED), fields.interruptible(field, watch):
        return np.asarray(solver.kernel(**integrals))


def _build_by_atom(solver: Any, watch: Watch) -> None:
    """Makes Coulomb and exchange terms, one long call into C in PySCF, a call for each atom that moves."""

    def parts(kind: str, scripts: tuple[str, ...], density: Any, omega: float | None) -> list[Array]:
        mol, rows = solver.mol, []
        density = solver.base.make_rdm1() if density is None else density
        with mol.with_range_coulomb(omega):
            screen = _vhf._VHFOpt(mol, "int2e_ip1", f"CVHFgrad_{kind}_prescreen", dmcondname="CVHFnr_dm_cond1")
            screen.q_cond = pyscf_gradient._calc_q_cond(mol, screen)
            shells = [(first, last) for first, last, *_ in mol.aoslice_by_atom() if last > first]
            for done, (first, last) in enumerate(shells):
                watch.beat("gradient", done, len(shells))
                found = _vhf.direct_mapdm(
                    mol._add_suffix("int2e_ip1"), "s2kl", scripts, density, 3, mol._atm, mol._bas, mol._env,
                    vhfopt=screen, shls_slice=(first, last, *(0, mol.nbas) * 3),
                )  # fmt: skip
                rows.append([-term for term in found])
        return [np.concatenate(terms, axis=-2) for terms in zip(*rows, strict=True)]

    coulomb, exchange = "lk->s1ij", "jk->s1il"  # of (d/dR i j|k l)
    solver.get_jk = lambda mol=None, dm=None, hermi=0, omega=None: parts("jk", (coulomb, exchange), dm, omega)
    solver.get_j = lambda mol=None, dm=None, hermi=0, omega=None: parts("j", (coulomb,), dm, omega)[0]
    solver.get_k = lambda mol=None, dm=None, hermi=0, omega=None: parts("k", (exchange,), dm, omega)[0]


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
