"""The Hamiltonian that a correlated method sees: a window of orbitals above a doubly occupied core."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo
from pyscf.data.elements import chemcore

from kanad_solvers import model, properties, self_consistent, symmetry
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.properties import Array
from kanad_solvers.result import Properties
from kanad_solvers.run import Watch
from kanad_solvers.spec import ActiveSpace, Spec

BYTES_PER_MB = 1e6
LEAST_SYMMETRIC_DETERMINANTS = 100  # below, finding the point group takes longer than it saves
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
        orbitals: coefficients of all orbitals, core first, then the window, shape (nao, nmo).
        orbsym: irreducible representations of the active orbitals (PySCF's ids, which multiply by XOR), shape
            (norb,); None where there is no symmetry.
    """

    field: Any
    ncore: int
    norb: int
    nelec: tuple[int, int]
    h1: Array
    eri: Array
    core_energy: float
    orbitals: Array
    orbsym: NDArray[np.intp] | None = None

    @property
    def core(self) -> Array:
        """Coefficients of the core, shape (nao, ncore)."""
        return self.orbitals[:, : self.ncore]

    @property
    def active(self) -> Array:
        """Coefficients of the window, shape (nao, norb)."""
        return self.orbitals[:, self.ncore : self.ncore + self.norb]

    @property
    def determinants(self) -> int:
        """How many determinants have the right number of electrons of each spin."""
        return comb(self.norb, self.nelec[0]) * comb(self.norb, self.nelec[1])

    @property
    def hf_energy(self) -> float:
        """Total energy of the reference, hartree."""
        return float(self.field.e_tot)


def reference_window(spec: Spec, mol: Any, watch: Watch) -> Window:
    """Runs the reference (RHF for singlets, ROHF otherwise) and transforms its integrals; a Hamiltonian brings its own.

    Raises:
        InvalidSpec: the window does not fit the molecule.
        NotConverged: the reference gave no finite energy.
    """
    if model.is_model(mol):
        field = model.reference(mol, watch)
    else:
        field = self_consistent.converge(mol, spec, watch, "rohf" if mol.spin else "rhf")
    watch.check()
    made = window(field, spec.active_space)
    watch.keep_orbitals(field, made)
    return made


def window(field: Any, choice: ActiveSpace | None) -> Window:
    """The window that `choice` asks for, on the orbitals of a finished RHF or ROHF field."""
    if choice is not None and choice.avas is not None:
        return _avas(field, choice.avas)
    # Highest occupation first: ROHF sorts by energy, which may mix singly and doubly occupied orbitals.
    order = np.argsort(-field.mo_occ, kind="stable")
    orbitals, energies = np.asarray(field.mo_coeff)[:, order], np.asarray(field.mo_energy)[order]
    ncore, norb, nelec = _sizes(field.mol, orbitals.shape[1], choice)
    irreps = None
    worth_it = comb(norb, nelec[0]) * comb(norb, nelec[1]) > LEAST_SYMMETRIC_DETERMINANTS
    worth_it = worth_it and not model.is_model(field.mol)
    if worth_it and _keeps_shells(energies, field.mo_occ[order], ncore, norb):
        adapted = symmetry.adapt(field.mol, orbitals, energies, field.get_ovlp())
        if adapted is not None:
            orbitals, irreps = adapted
    return _over(field, orbitals, ncore, norb, nelec, irreps)


def _keeps_shells(energies: Array, occupations: Array, ncore: int, norb: int) -> bool:
    """Whether no degenerate set is cut by an edge of the window or by a step of occupation: turning it is then free."""
    edges = {ncore, ncore + norb, *(np.flatnonzero(np.diff(occupations)) + 1).tolist()}
    return all(
        not 0 < edge < len(energies) or abs(energies[edge] - energies[edge - 1]) > symmetry.DEGENERATE_HARTREE
        for edge in edges
    )


def on_orbitals(window: Window, orbitals: Array) -> Window:
    """The same window over other orthonormal orbitals, shape (nao, nmo), core first."""
    return _over(window.field, orbitals, window.ncore, window.norb, window.nelec, None)


def _avas(field: Any, labels: tuple[str, ...]) -> Window:
    """The window of orbitals that overlap with the named atomic ones.

    Raises:
        InvalidSpec: no atomic orbital has such a label, or nothing is left to correlate.
    """
    from pyscf.mcscf import avas

    mol = field.mol
    try:
        norb, electrons, orbitals = avas.avas(field, list(labels), canonicalize=True, verbose=0)
    except (IndexError, ValueError, RuntimeError) as error:
        raise InvalidSpec.at("$.active_space.avas", f"no orbitals could be chosen by {', '.join(labels)}") from error
    electrons = round(float(electrons))
    alpha, beta = (electrons + mol.spin) // 2, (electrons - mol.spin) // 2
    if not 0 <= beta <= alpha <= norb or electrons < 1 or (mol.nelectron - electrons) % 2:
        raise InvalidSpec.at(
            "$.active_space.avas", f"{', '.join(labels)} gives {electrons} electrons in {norb} orbitals; name others"
        )
    return _over(field, np.asarray(orbitals), (mol.nelectron - electrons) // 2, int(norb), (alpha, beta), None)


def _over(
    field: Any, orbitals: Array, ncore: int, norb: int, nelec: tuple[int, int], irreps: NDArray[np.intp] | None
) -> Window:
    """A window with its integrals."""
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
        orbitals=orbitals,
        orbsym=None if irreps is None else irreps[ncore : ncore + norb],
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
    if model.is_model(window.field.mol):
        return Properties(density=label)
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


def active_dipole(window: Window) -> Array | None:
    """<p|r|q> over the window, shape (3, norb, norb), bohr; None for a Hamiltonian, which does not know it."""
    if model.is_model(window.field.mol):
        return None
    integrals = properties.dipole_integrals(window.field.mol)
    return window.active.T @ integrals @ window.active
