"""The Hamiltonian that a correlated method sees: a window of orbitals above a doubly occupied core."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from pyscf import ao2mo
from pyscf.data.elements import chemcore

from kanad_solvers import mean_field, properties
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.properties import Array
from kanad_solvers.result import Properties
from kanad_solvers.run import Watch
from kanad_solvers.spec import ActiveSpace, Spec

BYTES_PER_MB = 1e6
PURE_SPIN = 0.1  # largest deviation of S^2 from that of a pure spin


@dataclass(frozen=True, kw_only=True)
class Window:
    """Active orbitals with their integrals; spatial orbitals of one restricted reference.

    Attributes:
        field: the RHF or ROHF reference.
        ncore: doubly occupied orbitals below the window.
        norb: active spatial orbitals.
        nelec: active (alpha, beta) electrons.
        h1: one-body Hamiltonian with the mean field of the core, shape (norb, norb), hartree.
        eri: (pq|rs), p >= q and r >= s packed, shape (npair, npair), hartree.
        core_energy: energy of the core and of the nuclei, hartree.
        core: coefficients of the core, shape (nao, ncore).
        active: coefficients of the window, shape (nao, norb).
    """

    field: Any
    ncore: int
    norb: int
    nelec: tuple[int, int]
    h1: Array
    eri: Array
    core_energy: float
    core: Array
    active: Array

    @property
    def determinants(self) -> int:
        """How many determinants have the right number of electrons of each spin."""
        return comb(self.norb, self.nelec[0]) * comb(self.norb, self.nelec[1])

    @property
    def hf_energy(self) -> float:
        """Total energy of the reference, hartree."""
        return float(self.field.e_tot)


def reference_window(spec: Spec, mol: Any, watch: Watch) -> Window:
    """Runs the reference (RHF for singlets, ROHF otherwise) and transforms its integrals.

    Raises:
        InvalidSpec: the window does not fit the molecule.
        NotConverged: the reference gave no finite energy.
    """
    field = mean_field.converge(mol, spec, watch, "rohf" if mol.spin else "rhf")
    watch.check()
    return window(field, spec.active_space)


def window(field: Any, choice: ActiveSpace | None) -> Window:
    """The window that `choice` asks for, on the orbitals of a finished RHF or ROHF field."""
    mol = field.mol
    # Highest occupation first: ROHF sorts by energy, which may mix singly and doubly occupied orbitals.
    order = np.argsort(-field.mo_occ, kind="stable")
    orbitals = np.asarray(field.mo_coeff)[:, order]
    ncore, norb, nelec = _sizes(mol, orbitals.shape[1], choice)
    core, active = orbitals[:, :ncore], orbitals[:, ncore : ncore + norb]
    one_body = field.get_hcore()
    density = 2 * core @ core.T
    repulsion = _mean_repulsion(field, density) if ncore else np.zeros_like(density)
    core_energy = float(field.energy_nuc() + np.sum(density * (one_body + repulsion / 2)))
    return Window(
        field=field,
        ncore=ncore,
        norb=norb,
        nelec=nelec,
        h1=active.T @ (one_body + repulsion) @ active,
        eri=_two_body(field, active),
        core_energy=core_energy,
        core=core,
        active=active,
    )


def _sizes(mol: Any, nmo: int, choice: ActiveSpace | None) -> tuple[int, int, tuple[int, int]]:
    """Core orbitals, active orbitals and active (alpha, beta) electrons."""
    choice = choice or ActiveSpace()
    total = mol.nelectron
    if choice.frozen_core and choice.electrons is not None:
        raise InvalidSpec.at("$.active_space", "give either frozen_core or electrons: both name the core")
    core = chemcore(mol) if choice.frozen_core else 0
    electrons = total - 2 * core if choice.electrons is None else choice.electrons
    if electrons > total or (total - electrons) % 2:
        raise InvalidSpec.at(
            "$.active_space.electrons",
            f"must leave an even number for the core; {electrons} of {total} leaves {total - electrons}",
        )
    ncore = (total - electrons) // 2
    norb = nmo - ncore if choice.orbitals is None else choice.orbitals
    if norb > nmo - ncore:
        raise InvalidSpec.at(
            "$.active_space.orbitals", f"at most {nmo - ncore} orbitals lie above the core, got {norb}"
        )
    alpha, beta = (electrons + mol.spin) // 2, (electrons - mol.spin) // 2
    if beta < 0 or alpha > norb:
        raise InvalidSpec.at(
            "$.active_space",
            f"{electrons} electrons with {mol.spin} unpaired do not fit into {norb} orbitals",
        )
    return ncore, norb, (alpha, beta)


def _mean_repulsion(field: Any, density: Array) -> Array:
    """J - K/2 of a closed-shell density, shape (nao, nao)."""
    coulomb, exchange = field.get_jk(field.mol, density, hermi=1)
    return np.asarray(coulomb - exchange / 2)


def _two_body(field: Any, active: Array) -> Array:
    """(pq|rs) over the window, packed, shape (npair, npair); in memory wherever the AO integrals fit."""
    mol = field.mol
    pairs = mol.nao * (mol.nao + 1) // 2
    size = active.shape[1] * (active.shape[1] + 1) // 2
    if field._eri is not None:
        packed = ao2mo.incore.full(field._eri, active, compact=True)
    elif pairs * pairs / 2 * 8 / BYTES_PER_MB < mol.max_memory / 2:
        packed = ao2mo.incore.full(mol.intor("int2e", aosym="s8"), active, compact=True)
    else:
        packed = ao2mo.outcore.full_iofree(mol, active, max_memory=mol.max_memory, verbose=0)
    return np.asarray(packed).reshape(size, size)


def correlated_properties(window: Window, rdm1: tuple[Array, Array], label: str, gradient: Array | None) -> Properties:
    """Properties of a correlated state.

    Args:
        rdm1: alpha and beta one-body density matrices over the window, each shape (norb, norb).
        label: the method, for `density`.
        gradient: nuclear gradient, shape (natm, 3), hartree/bohr, where it was asked for.
    """
    alpha, beta = (window.active @ matrix @ window.active.T for matrix in rdm1)
    total = 2 * window.core @ window.core.T + alpha + beta
    spin = alpha - beta
    unpolarised = window.nelec[0] == window.nelec[1] and bool(np.abs(spin).max() < 1e-6)
    return properties.from_density(
        window.field.mol, total, None if unpolarised else spin, window.field.get_ovlp(), label, gradient
    )


def other_spin(window: Window, s_squared: float) -> str | None:
    """What to say where the lowest state has not the spin of the multiplicity asked for."""
    half = (window.nelec[0] - window.nelec[1]) / 2
    if abs(s_squared - half * (half + 1)) <= PURE_SPIN:
        return None
    return f"the lowest state has S^2 = {s_squared:.3f}, not that of the multiplicity asked for"


def active_dipole(window: Window) -> Array:
    """<p|r|q> over the window, shape (3, norb, norb), bohr."""
    integrals = properties.dipole_integrals(window.field.mol)
    return window.active.T @ integrals @ window.active
