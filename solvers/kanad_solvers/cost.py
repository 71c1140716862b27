"""What a spec will cost, before anything runs.

Basis functions, determinants and qubits are exact. Memory and seconds are rough: the constants are picked from runs of
small molecules on one core, not fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kanad_solvers import basis as basis_sets
from kanad_solvers.elements import core_orbitals
from kanad_solvers.prepare import Estimate, Parsed
from kanad_solvers.spec import (
    ExcitedStates,
    FullCI,
    HartreeFock,
    SampleBasedDiagonalization,
    Spec,
    VariationalEigensolver,
)

MAX_DETERMINANTS_FCI = 100_000_000
MAX_DETERMINANTS_STATEVECTOR = 20_000_000
MAX_DETERMINANTS_VQE = 2_000_000
MAX_BASIS_FUNCTIONS = 2_000
MAX_BASIS_FUNCTIONS_CORRELATED = 400
"""The integral transformation keeps N^4/8 numbers in memory."""
SUBSPACE_VECTORS = 60
"""Vectors over an SQD subspace that an attempt may have in its address space; 30 of them were seen resident."""
SUBSPACE_S = 6e-6
"""Seconds for each determinant of a subspace, batch and iteration (N2, 10 electrons in 16 orbitals)."""
WORKER_MB = 100.0
BYTES = 8
MB = 2**20


def active(spec: Spec, parsed: Parsed, basis_functions: int) -> tuple[int, int, int]:
    """(orbitals, alpha electrons, beta electrons) of what is correlated."""
    core_of_ecp = sum(basis_sets.ecp_electrons(spec.basis, symbol) for symbol in parsed.geometry.symbols)
    electrons, orbitals = parsed.electrons - core_of_ecp, basis_functions
    chosen = spec.active_space
    if chosen is not None and chosen.frozen_core:
        frozen = sum(
            max(core_orbitals(symbol) - basis_sets.ecp_electrons(spec.basis, symbol) // 2, 0)
            for symbol in parsed.geometry.symbols
        )
        electrons, orbitals = electrons - 2 * frozen, orbitals - frozen
    elif chosen is not None and chosen.electrons is not None and chosen.orbitals is not None:
        electrons, orbitals = chosen.electrons, chosen.orbitals
    unpaired = parsed.multiplicity - 1
    return orbitals, (electrons + unpaired) // 2, (electrons - unpaired) // 2


def determinants(orbitals: int, alpha: int, beta: int) -> int:
    """How many determinants there are, exactly."""
    if min(orbitals, alpha, beta) < 0:
        return 0
    return math.comb(orbitals, alpha) * math.comb(orbitals, beta)


def estimate(spec: Spec, parsed: Parsed) -> Estimate:
    """The price of a spec whose basis covers its elements."""
    functions = sum(basis_sets.size(spec.basis, s, spec.cartesian) or 0 for s in parsed.geometry.symbols)
    scf_mb = WORKER_MB + BYTES * (20 * functions**2 + min(functions**4 / 8, 2e8)) / MB
    scf_s = 2e-3 + 5e-8 * functions**4
    if isinstance(spec.method, HartreeFock):
        roots = spec.task.n_states if isinstance(spec.task, ExcitedStates) else 0
        return _priced(spec, functions, scf_mb, scf_s * (1 + 2 * roots), reason=_too_many_functions(functions))
    if not isinstance(spec.method, FullCI | SampleBasedDiagonalization | VariationalEigensolver):
        return Estimate(feasible=True, basis_functions=functions, memory_mb=WORKER_MB, seconds=(0.0, 60.0))
    orbitals, alpha, beta = active(spec, parsed, functions)
    count = determinants(orbitals, alpha, beta)
    limit, vectors, per_determinant = _demand(spec)
    correlated_mb = scf_mb + BYTES * (orbitals**4 / 4 + functions**4 / 8) / MB
    reason = _too_many_functions(functions, MAX_BASIS_FUNCTIONS_CORRELATED)
    if reason is None and limit is not None and count > limit:
        reason = f"{count} determinants ({alpha}+{beta} electrons in {orbitals} orbitals); the limit is {limit}"
    fitting_mb, seconds, suggestion = correlated_mb, scf_s, None
    if limit is not None:
        fitting_mb += BYTES * vectors * min(count, 10**18) / MB
        seconds += per_determinant * min(count, 10**18)
    if isinstance(spec.method, SampleBasedDiagonalization):
        size = _subspace(spec.method, orbitals, alpha, beta)
        subspace_mb = BYTES * SUBSPACE_VECTORS * spec.method.n_states * size / MB
        seconds += SUBSPACE_S * size * spec.method.n_batches * spec.method.max_iterations
        if reason is None and fitting_mb + subspace_mb > spec.limits.memory_mb > fitting_mb:
            reason = f"subspaces of up to {size} determinants need about {subspace_mb:.0f} MB"
            suggestion = "take fewer samples_per_batch or n_states, or raise limits.memory_mb"
        fitting_mb += subspace_mb
    return _priced(
        spec, functions, fitting_mb, seconds, reason=reason, count=count, orbitals=orbitals,
        electrons=(alpha, beta), limit=limit, vectors=vectors, suggestion=suggestion,
    )  # fmt: skip


def _subspace(method: SampleBasedDiagonalization, orbitals: int, alpha: int, beta: int) -> int:
    """The most determinants that one batch can span; equal numbers of both spins share their strings."""
    strings = method.samples_per_batch * (2 if alpha == beta else 1)
    return min(strings, math.comb(orbitals, alpha)) * min(strings, math.comb(orbitals, beta))


def _demand(spec: Spec) -> tuple[int | None, int, float]:
    """(limit on determinants, vectors of that length in memory, seconds for each)."""
    method = spec.method
    if isinstance(method, VariationalEigensolver):
        return MAX_DETERMINANTS_VQE, 8, 2e-4
    if isinstance(method, SampleBasedDiagonalization):
        if method.sampler == "uccsd":
            return MAX_DETERMINANTS_STATEVECTOR, 4, 2e-6
        return None, 0, 0.0
    roots = method.n_states if isinstance(method, FullCI) else 1
    if isinstance(spec.task, ExcitedStates):
        roots = max(roots, spec.task.n_states + 1)
    return MAX_DETERMINANTS_FCI, 12 + 4 * roots, 2e-5 * roots


def _too_many_functions(functions: int, limit: int = MAX_BASIS_FUNCTIONS) -> str | None:
    if functions <= limit:
        return None
    return f"{functions} basis functions; the limit is {limit}"


def _priced(
    spec: Spec, functions: int, memory_mb: float, seconds: float, *, reason: str | None,
    count: int | None = None, orbitals: int | None = None, electrons: tuple[int, int] = (0, 0),
    limit: int | None = None, vectors: int = 0, suggestion: str | None = None,
) -> Estimate:  # fmt: skip
    if reason is None and memory_mb > spec.limits.memory_mb:
        reason = f"about {memory_mb:.0f} MB are needed; limits.memory_mb is {spec.limits.memory_mb}"
    if reason is not None and suggestion is None:
        suggestion = "take a smaller basis"
        if orbitals is not None and limit is not None:
            affordable = min(limit, int(spec.limits.memory_mb * MB / 2 / BYTES / vectors))
            suggestion = _smaller_window(orbitals, electrons, affordable) or suggestion
    return Estimate(
        feasible=reason is None,
        basis_functions=functions,
        memory_mb=round(memory_mb, 1),
        seconds=(round(seconds / 5, 4), round(seconds * 5, 4)),
        determinants=count,
        qubits=None if orbitals is None else 2 * orbitals,
        reason=reason,
        suggestion=suggestion,
    )


def _smaller_window(orbitals: int, electrons: tuple[int, int], limit: int) -> str | None:
    """The largest window around the Fermi level with at most `limit` determinants."""
    for alpha, beta, norb in _windows(orbitals, electrons):
        if determinants(norb, alpha, beta) <= limit:
            return f'"active_space": {{"electrons": {alpha + beta}, "orbitals": {norb}}} would fit'
    return None


def _windows(orbitals: int, electrons: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Smaller and smaller windows: an orbital is taken from where there are more, empty or filled."""
    alpha, beta = electrons
    norb = orbitals
    while norb > max(alpha, 2):
        if norb - alpha > beta or beta <= 1:
            norb -= 1
        else:
            alpha, beta, norb = alpha - 1, beta - 1, norb - 1
        yield alpha, beta, norb
