"""From what was posted to what will be computed: resolved, checked, priced, or refused."""

from __future__ import annotations

import msgspec

from kanad_solvers.result import Coordinates
from kanad_solvers.spec import Spec


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a spec will cost, before anything runs; `seconds` is a range (low, high)."""

    feasible: bool
    basis_functions: int
    memory_mb: float
    seconds: tuple[float, float]
    determinants: int | None = None
    qubits: int | None = None
    reason: str | None = None
    suggestion: str | None = None


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A molecule, resolved to nuclei; for a Hamiltonian without nuclei, its `orbitals`, and an empty geometry."""

    geometry: Coordinates
    formula: str
    charge: int
    multiplicity: int
    electrons: int
    warnings: tuple[str, ...] = ()
    orbitals: int | None = None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A spec that can run: in canonical form, with its molecule and its price."""

    spec: Spec
    molecule: Parsed
    estimate: Estimate


def prepare(spec: Spec) -> Prepared:
    """The spec in canonical form, with its molecule and its price (which may say that it is not feasible).

    Raises:
        InvalidSpec: every rule that it breaks.
    """
    from kanad_solvers import checks, cost
    from kanad_solvers.molecule import parse

    parsed = parse(spec.molecule)
    canonical = checks.canonical(spec, parsed)
    return Prepared(spec=canonical, molecule=parsed, estimate=cost.estimate(canonical, parsed))
