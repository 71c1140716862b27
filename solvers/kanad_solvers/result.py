"""The final values of an experiment.

Energies are total energies in hartree unless the name says otherwise. A number is finite or absent: fields that
do not apply to a method or task are ``None`` here and left out on the wire.
"""

from __future__ import annotations

import msgspec

Vector = tuple[float, float, float]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything in a result: absent values are not written."""


class Reference(Part, frozen=True, kw_only=True):
    """The mean-field determinant under the method: ``type`` is ``rhf``, ``uhf`` or ``rohf``."""

    type: str
    s_squared: float
    stable: bool | None = None


class ElectronicState(Part, frozen=True, kw_only=True):
    """One electronic state; ``index`` 0 is the ground state."""

    index: int
    energy_hartree: float
    excitation_ev: float | None = None
    oscillator_strength: float | None = None
    s_squared: float | None = None
    transition_dipole_au: Vector | None = None
    label: str | None = None


class Orbitals(Part, frozen=True, kw_only=True):
    """Molecular orbitals of the reference, lowest first; for ``uhf`` the alpha set, with beta beside it."""

    energies_hartree: tuple[float, ...]
    occupations: tuple[float, ...]
    homo_hartree: float | None = None
    lumo_hartree: float | None = None
    beta_energies_hartree: tuple[float, ...] | None = None
    beta_occupations: tuple[float, ...] | None = None


class BondOrder(Part, frozen=True, kw_only=True):
    """Mayer bond order between two atoms (counted from 0)."""

    atoms: tuple[int, int]
    order: float


class Properties(Part, frozen=True, kw_only=True):
    """One-electron properties; ``density`` says which density they came from (``hf``, ``fci``, ...)."""

    density: str
    dipole_debye: Vector | None = None
    mulliken_charges: tuple[float, ...] | None = None
    bond_orders: tuple[BondOrder, ...] | None = None
    gradient_hartree_per_bohr: tuple[Vector, ...] | None = None


class Coordinates(Part, frozen=True, kw_only=True):
    """The final structure, one (x, y, z) per atom, in angstrom."""

    symbols: tuple[str, ...]
    coordinates_angstrom: tuple[Vector, ...]


class Circuit(Part, frozen=True, kw_only=True):
    """The ansatz as a circuit under the Jordan-Wigner transformation."""

    qubits: int
    parameters: int
    two_qubit_gates: int | None = None


class Provenance(Part, frozen=True, kw_only=True):
    """Where the numbers came from and what they cost."""

    versions: dict[str, str]
    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    threads: int
    seed: int | None = None


class Result(Part, frozen=True, kw_only=True):
    """Everything that an experiment found; ``converged`` is measured, never assumed."""

    energy_hartree: float
    converged: bool
    components: dict[str, float] = {}
    reference: Reference | None = None
    states: tuple[ElectronicState, ...] = ()
    orbitals: Orbitals | None = None
    properties: Properties | None = None
    geometry: Coordinates | None = None
    comparisons: dict[str, float] = {}
    circuit: Circuit | None = None
    warnings: tuple[str, ...] = ()
    provenance: Provenance | None = None
