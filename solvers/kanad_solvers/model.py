"""A Hamiltonian without nuclei as the object that solvers know: PySCF's mean field, not iterated.

The orbitals are those that the Hamiltonian came in, in their order; the reference determinant fills the first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import gto, scf

if TYPE_CHECKING:
    from kanad_solvers.fcidump import Hamiltonian
    from kanad_solvers.properties import Array
    from kanad_solvers.run import Watch

STATIONARY_HARTREE = 1e-5


def molecule(hamiltonian: Hamiltonian, multiplicity: int) -> Any:
    """A PySCF molecule without atoms that carries the Hamiltonian."""
    mol = gto.Mole()
    mol.verbose = 0
    mol.nelectron = hamiltonian.electrons
    mol.spin = multiplicity - 1
    mol.nao = hamiltonian.norb
    mol.incore_anyway = True
    mol.build(dump_input=False, parse_arg=False)
    mol.kanad_hamiltonian = hamiltonian
    return mol


def is_model(mol: Any) -> bool:
    """Whether a PySCF molecule is a Hamiltonian without nuclei."""
    return getattr(mol, "kanad_hamiltonian", None) is not None


def reference(mol: Any, watch: Watch) -> Any:
    """The determinant that fills the first orbitals, as a finished RHF (ROHF for unpaired electrons) object."""
    hamiltonian: Hamiltonian = mol.kanad_hamiltonian
    norb = hamiltonian.norb
    field = scf.ROHF(mol) if mol.spin else scf.RHF(mol)
    identity = np.eye(norb)
    field.get_hcore = lambda *_: hamiltonian.one_body
    field.get_ovlp = lambda *_: identity
    field.energy_nuc = lambda *_: hamiltonian.constant
    field._eri = hamiltonian.two_body
    alpha, beta = mol.nelec
    field.mo_coeff = identity
    field.mo_occ = np.array([(p < alpha) + (p < beta) for p in range(norb)], dtype=float)
    fock = field.get_fock(dm=field.make_rdm1())
    field.mo_energy = np.asarray(fock).diagonal().copy()
    field.e_tot = float(field.energy_tot(field.make_rdm1()))
    field.converged = True
    _say_if_moving(field, watch)
    return field


def _say_if_moving(field: Any, watch: Watch) -> None:
    """Warns where the determinant is no Hartree-Fock solution: its energy is then only where the count begins."""
    slopes: Array = field.get_grad(field.mo_coeff, field.mo_occ)
    largest = float(np.abs(slopes).max()) if slopes.size else 0.0
    if largest > STATIONARY_HARTREE:
        watch.warn(
            f"the determinant that fills the first orbitals of the FCIDUMP is no Hartree-Fock solution (gradient "
            f"{largest:.1e} hartree): 'hf' and correlation energies count from it"
        )
