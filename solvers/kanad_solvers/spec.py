"""What a person asks for, as immutable structs: molecule, basis, method, task.

Decoding (by `msgspec`, at the edge) settles types, ranges, unknown fields and unknown names. What needs chemistry
(electrons and multiplicity, atoms that touch, basis sets that lack an element, cost) is settled by `prepare`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

MAX_ATOMS = 500
MAX_NAME = 200
"""Characters."""
MAX_SCAN_POINTS = 500
MAX_FCIDUMP = 2_000_000
"""Characters: about 22 orbitals without symmetry, more where integrals vanish."""
NO_BASIS = "none"
"""The `basis` of a Hamiltonian without nuclei."""

Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
Tag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Layers: TypeAlias = Annotated[int, Meta(ge=1, le=50)]
States: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
Iterations: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Tolerance: TypeAlias = Annotated[float, Meta(ge=1e-13, le=1e-2)]
Spin: TypeAlias = Literal["singlet", "triplet", "any"]
AvasLabel: TypeAlias = Annotated[str, Meta(pattern=r"^([0-9]{1,3} )?[A-Z][a-z]? [1-7][spdf]$", max_length=12)]


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every struct of a spec: immutable, by keyword, unknown fields refused."""


class Atom(Frozen, frozen=True, kw_only=True):
    """One nucleus: element symbol and position in angstrom."""

    symbol: Annotated[str, Meta(min_length=1, max_length=3)]
    position_angstrom: tuple[float, float, float]


class Molecule(Frozen, frozen=True, kw_only=True):
    """Exactly one of `smiles`, `xyz` (text, angstrom), `atoms`, `library`, `fcidump`; charge and multiplicity 2S+1.

    `multiplicity` left out means that of the library entry or of the FCIDUMP, and 1 for every other source. `fcidump`
    is the text of an FCIDUMP: a Hamiltonian without nuclei, which takes neither charge nor basis.
    """

    smiles: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    xyz: Annotated[str, Meta(min_length=1, max_length=100_000)] | None = None
    atoms: Annotated[tuple[Atom, ...], Meta(min_length=1, max_length=MAX_ATOMS)] | None = None
    library: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    charge: Annotated[int, Meta(ge=-100, le=100)] = 0
    multiplicity: Annotated[int, Meta(ge=1, le=100)] | None = None
    fcidump: Annotated[str, Meta(min_length=1, max_length=MAX_FCIDUMP)] | None = None


class ActiveSpace(Frozen, frozen=True, kw_only=True):
    """Electrons and spatial orbitals around the Fermi level, every orbital but the frozen core, or AVAS.

    `avas` names atomic orbitals, such as "N 2p" or "0 Fe 3d": orbitals that overlap with them are active (Sayfutyarova
    et al., J. Chem. Theory Comput. 13, 4063 (2017)).
    """

    electrons: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    orbitals: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    frozen_core: bool = False
    avas: Annotated[tuple[AvasLabel, ...], Meta(min_length=1, max_length=50)] | None = None


class Solvent(Frozen, frozen=True, kw_only=True):
    """A continuum around the molecule: C-PCM, SMD or ddCOSMO, with the solvent's name."""

    model: Literal["cpcm", "smd", "ddcosmo"]
    name: Annotated[str, Meta(min_length=1, max_length=50)] = "water"


class Limits(Frozen, frozen=True, kw_only=True):
    """What an attempt may use before it is ended."""

    wall_s: Annotated[float, Meta(gt=0, le=2_592_000)] = 3600
    memory_mb: Annotated[int, Meta(ge=64, le=4_194_304)] = 4096
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1


class Notify(Frozen, frozen=True, kw_only=True):
    """Whom to tell when the experiment has ended: an http or https address."""

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]


# Methods


class MeanField(Frozen, frozen=True, kw_only=True):
    """Options of every self-consistent field.

    `reference` auto is restricted for singlets and unrestricted otherwise; `check_stability` left out: for
    unrestricted ones.
    """

    reference: Literal["auto", "rhf", "uhf", "rohf"] = "auto"
    density_fit: bool = False
    conv_tol: Tolerance = 1e-9
    max_iterations: Iterations = 100
    check_stability: bool | None = None


class HartreeFock(MeanField, frozen=True, kw_only=True, tag_field="name", tag="hf"):
    """Hartree-Fock."""


class DensityFunctional(MeanField, frozen=True, kw_only=True, tag_field="name", tag="dft"):
    """Kohn-Sham density functional theory; `xc` is one of the list in `kanad_solvers.functionals`."""

    xc: Annotated[str, Meta(min_length=1, max_length=50)] = "b3lyp"
    grid_level: Annotated[int, Meta(ge=0, le=9)] = 3
    dispersion: Literal["none", "d3bj", "d4"] = "none"


class Correlated(Frozen, frozen=True, kw_only=True):
    """Options of perturbation theory and coupled cluster; `frozen_core` leaves core electrons uncorrelated."""

    frozen_core: bool = False
    reference: Literal["auto", "rhf", "uhf"] = "auto"
    density_fit: bool = False


class MollerPlesset(Correlated, frozen=True, kw_only=True, tag_field="name", tag="mp2"):
    """Second-order Moller-Plesset perturbation theory."""


class CoupledCluster(Correlated, frozen=True, kw_only=True):
    """Options of the coupled-cluster iterations."""

    conv_tol: Tolerance = 1e-8
    max_iterations: Iterations = 100


class SinglesDoubles(CoupledCluster, frozen=True, kw_only=True, tag_field="name", tag="ccsd"):
    """Coupled cluster with single and double excitations."""


class PerturbativeTriples(CoupledCluster, frozen=True, kw_only=True, tag_field="name", tag="ccsd(t)"):
    """CCSD with a perturbative correction for triple excitations."""


class Configurations(Frozen, frozen=True, kw_only=True):
    """Options of configuration interaction; `n_states` counts the ground state."""

    n_states: States = 1
    spin: Spin = "any"


class FullCI(Configurations, frozen=True, kw_only=True, tag_field="name", tag="fci"):
    """Full configuration interaction, in the active space if there is one."""


class CompleteActiveSpace(Configurations, frozen=True, kw_only=True, tag_field="name", tag="casci"):
    """Full configuration interaction in an active space on Hartree-Fock orbitals."""


class OptimizedActiveSpace(Configurations, frozen=True, kw_only=True, tag_field="name", tag="casscf"):
    """CASCI with optimised orbitals; state-averaged with equal weights for `n_states` above 1."""

    conv_tol: Tolerance = 1e-8
    max_iterations: Iterations = 100


class SelectedCI(Frozen, frozen=True, kw_only=True, tag_field="name", tag="selected_ci"):
    """Selected configuration interaction: strings are added whose coupling to the state exceeds `epsilon`."""

    epsilon: Annotated[float, Meta(ge=1e-6, le=1e-1)] = 1e-3
    max_iterations: Annotated[int, Meta(ge=1, le=100)] = 30


class SampledSubspace(Frozen, frozen=True, kw_only=True):
    """Options of the diagonalisation in a sampled subspace.

    `noise` is the probability that a sampled bit is flipped, so that configuration recovery has work.
    """

    n_samples: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    noise: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    samples_per_batch: Annotated[int, Meta(ge=1, le=100_000)] = 300
    n_batches: Annotated[int, Meta(ge=1, le=100)] = 3
    max_iterations: Annotated[int, Meta(ge=1, le=100)] = 5
    n_states: States = 1
    seed: Seed = 0


class SampleBasedDiagonalization(SampledSubspace, frozen=True, kw_only=True, tag_field="name", tag="sqd"):
    """Sample-based quantum diagonalisation (Robledo-Moreno et al., Sci. Adv. 11, eadu9991 (2025)).

    `counts` maps measured bitstrings (beta orbitals left, alpha orbitals right, highest orbital first) to counts;
    `layers` is that of the `lucj` sampler.
    """

    sampler: Literal["uccsd", "lucj", "uniform", "counts"] = "uccsd"
    counts: dict[str, Annotated[int, Meta(ge=1)]] | None = None
    layers: Layers = 1


class KrylovDiagonalization(SampledSubspace, frozen=True, kw_only=True, tag_field="name", tag="krylov_sqd"):
    """SQD on samples of `krylov_dim` time-evolved states exp(-i k dt H)|HF> (Yu et al., arXiv:2501.09702).

    `time_step` is dt in atomic units (1/hartree); left out, pi over the spectral range of the lowest states.
    """

    krylov_dim: Annotated[int, Meta(ge=1, le=50)] = 5
    time_step: Annotated[float, Meta(gt=0, le=100)] | None = None


class VariationalEigensolver(Frozen, frozen=True, kw_only=True, tag_field="name", tag="vqe"):
    """Variational quantum eigensolver on the exact state vector.

    `layers` counts repetitions of the `hardware_efficient` and `lucj` ansatz; `shots` is the number of measurements per
    energy, left out: exact expectation values.
    """

    ansatz: Literal["uccsd", "hardware_efficient", "lucj"] = "uccsd"
    layers: Layers = 2
    optimizer: Literal["l-bfgs-b", "slsqp", "cobyla", "spsa"] = "l-bfgs-b"
    max_iterations: Iterations = 200
    shots: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    seed: Seed = 0


class AdaptiveEigensolver(Frozen, frozen=True, kw_only=True, tag_field="name", tag="adapt_vqe"):
    """VQE whose ansatz grows by the operator with the largest gradient (Grimsley et al., Nat. Commun. 10, 3007 (2019)).

    It ends when the norm of the pool's gradient is at most `gradient_tol` (hartree/radian).
    """

    pool: Literal["singles_doubles", "generalized"] = "singles_doubles"
    gradient_tol: Annotated[float, Meta(ge=1e-8, le=1.0)] = 1e-3
    max_operators: Annotated[int, Meta(ge=1, le=1_000)] = 100
    max_iterations: Iterations = 200
    seed: Seed = 0


class Probe(Frozen, frozen=True, kw_only=True, tag_field="name", tag="probe"):
    """No chemistry: emits `steps` convergence events for tests and load, or shows a fault.

    Equal probes are run each by itself, unless `shared` lets them take part in the sharing of identical work.
    """

    steps: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    step_ms: Annotated[float, Meta(ge=0, le=60_000)] = 10
    payload_bytes: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    fault: Literal[
        "none",
        "raise",
        "unpicklable",
        "sigsegv",
        "os_exit",
        "oom",
        "hang",
        "busy_c_loop",
        "spam_progress",
        "huge_result",
        "nan_result",
    ] = "none"
    shared: bool = False


Method: TypeAlias = (
    HartreeFock
    | DensityFunctional
    | MollerPlesset
    | SinglesDoubles
    | PerturbativeTriples
    | CompleteActiveSpace
    | OptimizedActiveSpace
    | FullCI
    | SelectedCI
    | SampleBasedDiagonalization
    | KrylovDiagonalization
    | VariationalEigensolver
    | AdaptiveEigensolver
    | Probe
)


# Tasks


class Energy(Frozen, frozen=True, kw_only=True, tag_field="name", tag="energy"):
    """The total energy and properties; `gradient` asks for the nuclear gradient too."""

    gradient: bool = False


class ExcitedStates(Frozen, frozen=True, kw_only=True, tag_field="name", tag="excited_states"):
    """`n_states` states above the ground state; `tda` (hf and dft): CIS or TDA instead of TDHF or TDDFT."""

    n_states: States = 3
    spin: Spin = "singlet"
    tda: bool = False


class Optimize(Frozen, frozen=True, kw_only=True, tag_field="name", tag="optimize"):
    """The nearest minimum of the energy, in at most `max_steps` steps."""

    max_steps: Annotated[int, Meta(ge=1, le=1_000)] = 100


class Frequencies(Frozen, frozen=True, kw_only=True, tag_field="name", tag="frequencies"):
    """Harmonic wavenumbers, normal modes, IR intensities and thermochemistry; at a minimum only they mean something."""

    optimize_first: bool = True
    temperature_k: Annotated[float, Meta(gt=0, le=10_000)] = 298.15
    pressure_pa: Annotated[float, Meta(gt=0, le=1e9)] = 101_325.0


AtomIndex: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_ATOMS)]


class Coordinate(Frozen, frozen=True, kw_only=True):
    """An internal coordinate by its atoms, counted from 0: two for a bond, three for an angle, four for a dihedral."""

    type: Literal["bond", "angle", "dihedral"]
    atoms: Annotated[tuple[AtomIndex, ...], Meta(min_length=2, max_length=4)]


class Scan(Frozen, frozen=True, kw_only=True, tag_field="name", tag="scan"):
    """Energies along a coordinate, in angstrom or degrees: `points` from `start` to `stop`, or `values` as listed."""

    coordinate: Coordinate
    start: float | None = None
    stop: float | None = None
    points: Annotated[int, Meta(ge=2, le=MAX_SCAN_POINTS)] | None = None
    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=MAX_SCAN_POINTS)] | None = None


Task: TypeAlias = Energy | ExcitedStates | Optimize | Frequencies | Scan


class Spec(Frozen, frozen=True, kw_only=True):
    """One experiment as a person asks for it."""

    molecule: Molecule
    method: Method
    basis: Annotated[str, Meta(min_length=1, max_length=50)] = "sto-3g"
    task: Task = Energy()
    name: Name = ""
    active_space: ActiveSpace | None = None
    solvent: Solvent | None = None
    cartesian: bool = False
    limits: Limits = Limits()
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    tags: Annotated[tuple[Tag, ...], Meta(max_length=20)] = ()
    fresh: bool = False
    notify: Annotated[tuple[Notify, ...], Meta(max_length=5)] = ()


def name_of(part: Method | Task) -> str:
    """The `name` by which a method or task was chosen."""
    return str(part.__struct_config__.tag)


NOT_HASHED = ("name", "tags", "priority", "limits", "fresh", "notify")


def spec_hash(spec: Spec) -> str:
    """SHA-256 over what decides the numbers: the canonical spec without `NOT_HASHED`."""
    plain = msgspec.to_builtins(spec)
    for field in NOT_HASHED:
        del plain[field]
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
