"""Hartree-Fock and Kohn-Sham: the energy by itself, and the determinant under every other method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kanad_solvers import fields, gradients, model, mole, properties
from kanad_solvers.fields import kind_of
from kanad_solvers.properties import Array
from kanad_solvers.result import Reference, Result
from kanad_solvers.self_consistent import converge
from kanad_solvers.spec import DensityFunctional, Energy, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed
    from kanad_solvers.run import Watch


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """Total energy, orbitals, properties and (where asked for) the nuclear gradient.

    Raises:
        InvalidSpec: RHF was asked for unpaired electrons.
        NotConverged: no finite energy came out.
    """
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
        gradient = gradients.analytic(field.nuc_grad_method(), watch)
    total, spin = densities(field)
    label = "dft" if isinstance(fields.options_of(spec), DensityFunctional) else "hf"
    return Result(
        energy_hartree=float(field.e_tot),
        converged=bool(field.converged),
        components=components(field),
        reference=describe(field),
        orbitals=properties.orbitals(field.mo_energy, field.mo_occ),
        properties=properties.from_density(field.mol, total, spin, field.get_ovlp(), label, gradient),
    )


def components(field: Any) -> dict[str, float]:
    """Parts of the total energy that every method reports, hartree."""
    name = "constant_hartree" if model.is_model(field.mol) else "nuclear_repulsion_hartree"
    parts = {name: float(field.energy_nuc())}
    if hasattr(field, "xc"):
        parts["exchange_correlation_hartree"] = float(field.scf_summary["exc"])
    else:
        parts["hf_hartree"] = float(field.e_tot)
    if "dispersion" in field.scf_summary:
        parts["dispersion_hartree"] = float(field.scf_summary["dispersion"])
    gas_hartree = getattr(field, "kanad_gas_hartree", None)
    if gas_hartree is not None:
        parts["solvation_hartree"] = float(field.e_tot) - gas_hartree
    return parts


def describe(field: Any) -> Reference:
    """Type, S^2 and (where it was tested) stability of the determinant."""
    kind = kind_of(field)
    if kind == "uhf":
        s_squared = properties.determinant_s_squared(field.mo_coeff, field.mo_occ, field.get_ovlp())
    else:
        half = field.mol.spin / 2
        s_squared = half * (half + 1)
    return Reference(type=kind, s_squared=s_squared, stable=getattr(field, "kanad_stable", None))


def densities(field: Any) -> tuple[Array, Array | None]:
    """Total and spin density (None for RHF) in the AO basis, each shape (nao, nao)."""
    return split(field.make_rdm1())


def split(density: Any) -> tuple[Array, Array | None]:
    """Total and spin density from one density matrix, or from an alpha and a beta one."""
    if np.ndim(density) == 2:
        return np.asarray(density), None
    return np.asarray(density[0] + density[1]), np.asarray(density[0] - density[1])
