"""The final values of an experiment.

Energies are total energies in hartree unless the name says otherwise. A number is finite or absent: fields that
do not apply to a method or task are ``None`` here and left out on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ase import Atoms

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


class Optimization(Part, frozen=True, kw_only=True):
    """How a geometry optimisation went; the final structure is ``geometry``."""

    converged: bool
    steps: int
    max_gradient_hartree_per_bohr: float
    energies_hartree: tuple[float, ...]


class Frequencies(Part, frozen=True, kw_only=True):
    """Harmonic vibrations (imaginary ones as negative wavenumbers) and ideal-gas thermochemistry.

    ``modes`` holds for each vibration a unit vector of cartesian displacements, one (x, y, z) per atom. Enthalpy and
    Gibbs energy are those of a rigid rotor and harmonic oscillators at ``temperature_k`` and ``pressure_pa``.
    """

    wavenumbers_cm: tuple[float, ...]
    ir_km_mol: tuple[float, ...]
    modes: tuple[tuple[Vector, ...], ...]
    reduced_masses_amu: tuple[float, ...]
    temperature_k: float
    pressure_pa: float
    symmetry_number: int
    point_group: str
    zpe_hartree: float
    thermal_energy_hartree: float
    enthalpy_hartree: float
    entropy_hartree_per_k: float
    gibbs_hartree: float
    heat_capacity_hartree_per_k: float


class ScanCurve(Part, frozen=True, kw_only=True):
    """Energies along a coordinate; ``jumps`` are indices of points after which the state seems to change."""

    type: str
    atoms: tuple[int, ...]
    values: tuple[float, ...]
    energies_hartree: tuple[float, ...]
    converged: tuple[bool, ...]
    jumps: tuple[int, ...] = ()


class VariationalSearch(Part, frozen=True, kw_only=True):
    """What the classical optimiser of a variational circuit did; ``evaluations`` counts energies."""

    optimizer: str
    iterations: int
    evaluations: int
    gradient_norm: float | None = None
    operators: tuple[str, ...] = ()


class SamplingIteration(Part, frozen=True, kw_only=True):
    """One round of configuration recovery: its best energy, the size of its largest subspace, mean occupancies."""

    energy_hartree: float
    determinants: int
    occupancies_alpha: tuple[float, ...]
    occupancies_beta: tuple[float, ...]


class Sampling(Part, frozen=True, kw_only=True):
    """What was sampled, and what the sampled subspaces came to.

    ``valid_fraction`` is the weight of samples with the right number of electrons of each spin before recovery.
    """

    sampler: str
    samples: int
    distinct: int
    valid_fraction: float
    determinants: int
    iterations: tuple[SamplingIteration, ...]


class Provenance(Part, frozen=True, kw_only=True):
    """Where the numbers came from, what they cost, and which `conventions` they follow where programs differ."""

    versions: dict[str, str]
    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    threads: int
    seed: int | None = None
    conventions: tuple[str, ...] = ()


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
    diagnostics: dict[str, float] = {}
    circuit: Circuit | None = None
    optimization: Optimization | None = None
    frequencies: Frequencies | None = None
    scan: ScanCurve | None = None
    search: VariationalSearch | None = None
    sampling: Sampling | None = None
    warnings: tuple[str, ...] = ()
    provenance: Provenance | None = None

    def to_ase(self) -> Atoms:
        """The final structure as ASE's `Atoms`; with energy, forces and dipole (eV, eV/angstrom, e angstrom) if known.

        Raises:
            ImportError: ASE is not installed (the extra ``ase``).
            ValueError: the result has no structure.
        """
        from ase import Atoms, units
        from ase.calculators.singlepoint import SinglePointCalculator

        if self.geometry is None:
            raise ValueError("the result has no nuclei: it is that of a Hamiltonian")
        atoms = Atoms(self.geometry.symbols, self.geometry.coordinates_angstrom)
        found: dict[str, Any] = {"energy": self.energy_hartree * units.Hartree}
        properties = self.properties or Properties(density="")
        gradient, dipole = properties.gradient_hartree_per_bohr, properties.dipole_debye
        if gradient is not None:
            found["forces"] = [[-slope * units.Hartree / units.Bohr for slope in row] for row in gradient]
        if dipole is not None:
            found["dipole"] = [component * units.Debye for component in dipole]
        atoms.calc = SinglePointCalculator(atoms, **found)
        return atoms
