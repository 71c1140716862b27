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

Name: TypeAlias = Annotated[str, Meta(max_length=200)]
Tag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
States: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
Iterations: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Tolerance: TypeAlias = Annotated[float, Meta(ge=1e-13, le=1e-2)]
Spin: TypeAlias = Literal["singlet", "triplet", "any"]


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every struct of a spec: immutable, by keyword, unknown fields refused."""


class Atom(Frozen, frozen=True, kw_only=True):
    """One nucleus: element symbol and position in angstrom."""

    symbol: Annotated[str, Meta(min_length=1, max_length=3)]
    position_angstrom: tuple[float, float, float]


class Molecule(Frozen, frozen=True, kw_only=True):
    """Exactly one of `smiles`, `xyz` (text, angstrom), `atoms` and `library`, with charge and multiplicity 2S+1.

    `multiplicity` left out means that of the library entry, and 1 for every other source.
    """

    smiles: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    xyz: Annotated[str, Meta(min_length=1, max_length=100_000)] | None = None
    atoms: Annotated[tuple[Atom, ...], Meta(min_length=1, max_length=MAX_ATOMS)] | None = None
    library: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    charge: Annotated[int, Meta(ge=-100, le=100)] = 0
    multiplicity: Annotated[int, Meta(ge=1, le=100)] | None = None


class ActiveSpace(Frozen, frozen=True, kw_only=True):
    """Electrons and spatial orbitals around the Fermi level, or every orbital but the frozen core."""

    electrons: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    orbitals: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    frozen_core: bool = False


class Limits(Frozen, frozen=True, kw_only=True):
    """What an attempt may use before it is ended."""

    wall_s: Annotated[float, Meta(gt=0, le=2_592_000)] = 3600
    memory_mb: Annotated[int, Meta(ge=64, le=4_194_304)] = 4096


# Methods


class HartreeFock(Frozen, frozen=True, kw_only=True, tag_field="name", tag="hf"):
    """Hartree-Fock. `reference` auto is RHF for singlets and UHF otherwise; `check_stability` left out: for UHF."""

    reference: Literal["auto", "rhf", "uhf", "rohf"] = "auto"
    density_fit: bool = False
    conv_tol: Tolerance = 1e-9
    max_iterations: Iterations = 100
    check_stability: bool | None = None


class FullCI(Frozen, frozen=True, kw_only=True, tag_field="name", tag="fci"):
    """Full configuration interaction in the active space; `n_states` counts the ground state."""

    n_states: States = 1
    spin: Spin = "any"


class SampleBasedDiagonalization(Frozen, frozen=True, kw_only=True, tag_field="name", tag="sqd"):
    """Sample-based quantum diagonalisation (Robledo-Moreno et al., Sci. Adv. 11, eadu9991 (2025)).

    `counts` maps measured bitstrings (beta orbitals left, alpha orbitals right, highest orbital first) to counts.
    `noise` is the probability that a sampled bit is flipped, so that configuration recovery has work.
    """

    sampler: Literal["uccsd", "uniform", "counts"] = "uccsd"
    counts: dict[str, Annotated[int, Meta(ge=1)]] | None = None
    n_samples: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    noise: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    samples_per_batch: Annotated[int, Meta(ge=1, le=100_000)] = 300
    n_batches: Annotated[int, Meta(ge=1, le=100)] = 3
    max_iterations: Annotated[int, Meta(ge=1, le=100)] = 5
    n_states: States = 1
    seed: Seed = 0


class VariationalEigensolver(Frozen, frozen=True, kw_only=True, tag_field="name", tag="vqe"):
    """Variational quantum eigensolver on the exact state vector."""

    ansatz: Literal["uccsd"] = "uccsd"
    optimizer: Literal["l-bfgs-b"] = "l-bfgs-b"
    max_iterations: Iterations = 200
    seed: Seed = 0


class Probe(Frozen, frozen=True, kw_only=True, tag_field="name", tag="probe"):
    """No chemistry: emits `steps` convergence events for tests and load, or shows a fault."""

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


Method: TypeAlias = HartreeFock | FullCI | SampleBasedDiagonalization | VariationalEigensolver | Probe


# Tasks


class Energy(Frozen, frozen=True, kw_only=True, tag_field="name", tag="energy"):
    """The total energy and properties; `gradient` asks for the nuclear gradient too."""

    gradient: bool = False


class ExcitedStates(Frozen, frozen=True, kw_only=True, tag_field="name", tag="excited_states"):
    """`n_states` states above the ground state; `tda` (hf): CIS instead of TDHF."""

    n_states: States = 3
    spin: Spin = "singlet"
    tda: bool = False


Task: TypeAlias = Energy | ExcitedStates


class Spec(Frozen, frozen=True, kw_only=True):
    """One experiment as a person asks for it."""

    molecule: Molecule
    method: Method
    basis: Annotated[str, Meta(min_length=1, max_length=50)] = "sto-3g"
    task: Task = Energy()
    name: Name = ""
    active_space: ActiveSpace | None = None
    solvent: None = None
    cartesian: bool = False
    limits: Limits = Limits()
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    tags: Annotated[tuple[Tag, ...], Meta(max_length=20)] = ()
    fresh: bool = False


NOT_HASHED = ("name", "tags", "priority", "limits", "fresh")


def spec_hash(spec: Spec) -> str:
    """SHA-256 over what decides the numbers: the canonical spec without name, tags, priority, limits and fresh."""
    plain = msgspec.to_builtins(spec)
    for field in NOT_HASHED:
        del plain[field]
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
