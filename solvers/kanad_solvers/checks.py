"""The rules that need chemistry: does the basis cover the elements, does the method fit the molecule and the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kanad_solvers import basis as basis_sets
from kanad_solvers import cost
from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.registry import METHODS
from kanad_solvers.spec import (
    Energy,
    ExcitedStates,
    FullCI,
    HartreeFock,
    Probe,
    SampleBasedDiagonalization,
    Spec,
    VariationalEigensolver,
)

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MAX_DISTINCT_COUNTS = 100_000


def canonical(spec: Spec, parsed: Parsed) -> Spec:
    """`spec` with every name and default filled in.

    Raises:
        InvalidSpec: every rule that it breaks.
    """
    name = basis_sets.canonical(spec.basis)
    if name is None:
        message = f"basis sets are {', '.join(basis_sets.BASES)}; got {spec.basis!r}"
        raise InvalidSpec.at("$.basis", message)
    made = replace(spec, basis=name, molecule=replace(spec.molecule, multiplicity=parsed.multiplicity))
    if isinstance(spec.method, Probe):
        return made
    errors = [*_basis(made, parsed), *_task(made), *_reference(made), *_gradient(made)]
    if not errors:
        errors = [*_active_space(made, parsed)]
    if not errors:
        errors = [*_states(made, parsed), *_counts(made, parsed)]
    if errors:
        raise InvalidSpec(errors)
    return made


def _functions(spec: Spec, parsed: Parsed) -> int:
    return sum(basis_sets.size(spec.basis, symbol, spec.cartesian) or 0 for symbol in parsed.geometry.symbols)


def _basis(spec: Spec, parsed: Parsed) -> list[FieldError]:
    symbols = sorted(set(parsed.geometry.symbols))
    missing = [symbol for symbol in symbols if basis_sets.load(spec.basis, symbol) is None]
    if not missing:
        return []
    return [FieldError("$.basis", f"{spec.basis} has no functions for {', '.join(missing)}; def2-svp covers H to Rn")]


def _task(spec: Spec) -> list[FieldError]:
    method = str(spec.method.__struct_config__.tag)
    task = str(spec.task.__struct_config__.tag)
    allowed = METHODS[method].tasks
    if task in allowed:
        return []
    others = ", ".join(name for name, entry in METHODS.items() if task in entry.tasks)
    message = f"{method} does {', '.join(allowed)}, not {task}; {task} works with {others}"
    return [FieldError("$.task.name", message)]


def _reference(spec: Spec) -> list[FieldError]:
    method, multiplicity = spec.method, spec.molecule.multiplicity
    errors = []
    if isinstance(method, HartreeFock) and method.reference == "rhf" and multiplicity != 1:
        errors.append(
            FieldError("$.method.reference", f"rhf needs multiplicity 1, got {multiplicity}; take uhf or rohf")
        )
    if isinstance(method, HartreeFock) and method.reference == "rohf" and isinstance(spec.task, ExcitedStates):
        errors.append(FieldError("$.method.reference", "excited states need rhf or uhf, got rohf"))
    if isinstance(method, VariationalEigensolver) and multiplicity != 1:
        message = f"vqe (uccsd) needs multiplicity 1, got {multiplicity}; fci and sqd take open shells"
        errors.append(FieldError("$.molecule.multiplicity", message))
    if isinstance(spec.task, ExcitedStates) and spec.task.tda and not isinstance(method, HartreeFock):
        errors.append(FieldError("$.task.tda", "tda is an option of hf alone; leave it out"))
    return errors


def _gradient(spec: Spec) -> list[FieldError]:
    asked = isinstance(spec.task, Energy) and spec.task.gradient
    if asked and not isinstance(spec.method, HartreeFock):
        return [FieldError("$.task.gradient", "nuclear gradients are offered for hf alone; leave it out")]
    return []


def _active_space(spec: Spec, parsed: Parsed) -> list[FieldError]:
    chosen, path = spec.active_space, "$.active_space"
    functions = _functions(spec, parsed)
    if chosen is not None and isinstance(spec.method, HartreeFock):
        return [FieldError(path, "hf has no active space; leave it out, or take fci, sqd or vqe")]
    if chosen is not None:
        if (chosen.electrons is None) != (chosen.orbitals is None):
            return [FieldError(path, "electrons and orbitals go together; give both or neither")]
        if chosen.frozen_core == (chosen.electrons is not None):
            return [FieldError(path, 'needs either electrons and orbitals, or "frozen_core": true')]
        if chosen.electrons is not None and chosen.electrons > parsed.electrons:
            return [FieldError(f"{path}.electrons", f"the molecule has {parsed.electrons}, got {chosen.electrons}")]
        if chosen.electrons is not None and (chosen.electrons - parsed.multiplicity + 1) % 2:
            message = f"{chosen.electrons} electrons do not fit multiplicity {parsed.multiplicity}"
            return [FieldError(f"{path}.electrons", message)]
        if chosen.orbitals is not None and chosen.orbitals > functions:
            return [FieldError(f"{path}.orbitals", f"the basis gives {functions}, got {chosen.orbitals}")]
    if isinstance(spec.method, HartreeFock):
        return []
    orbitals, alpha, beta = cost.active(spec, parsed, functions)
    if not 0 <= beta <= alpha <= orbitals or alpha + beta < 1:
        return [FieldError(path, f"{alpha} alpha and {beta} beta electrons do not fit {orbitals} orbitals")]
    if chosen is not None and chosen.orbitals is not None and chosen.electrons is not None:
        filled = (parsed.electrons - _ecp(spec, parsed) - chosen.electrons) // 2
        if filled < 0 or filled + chosen.orbitals > functions:
            message = f"{filled} filled orbitals lie below the window, so at most {functions - filled} fit; got"
            return [FieldError(f"{path}.orbitals", f"{message} {chosen.orbitals}")]
    return []


def _ecp(spec: Spec, parsed: Parsed) -> int:
    return sum(basis_sets.ecp_electrons(spec.basis, symbol) for symbol in parsed.geometry.symbols)


def _states(spec: Spec, parsed: Parsed) -> list[FieldError]:
    method, task = spec.method, spec.task
    if isinstance(method, HartreeFock) and isinstance(task, ExcitedStates):
        return _singles(spec, method, task, parsed)
    if not isinstance(method, FullCI | SampleBasedDiagonalization):
        return []
    if isinstance(task, ExcitedStates) and method.n_states != 1:
        return [FieldError("$.method.n_states", "task.n_states counts the states of excited_states; leave this out")]
    wanted = task.n_states + 1 if isinstance(task, ExcitedStates) else method.n_states
    path = "$.task.n_states" if isinstance(task, ExcitedStates) else "$.method.n_states"
    count = cost.determinants(*cost.active(spec, parsed, _functions(spec, parsed)))
    if wanted > count:
        return [
            FieldError(path, f"{count} determinants give at most {count} states with the ground state; got {wanted}")
        ]
    return []


def _singles(spec: Spec, method: HartreeFock, task: ExcitedStates, parsed: Parsed) -> list[FieldError]:
    """CIS and TDHF have one state for each excitation of one electron (and spin, on a restricted reference)."""
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    of_alpha, of_beta = alpha * (orbitals - alpha), beta * (orbitals - beta)
    is_unrestricted = method.reference == "uhf" or parsed.multiplicity > 1
    count = of_alpha + of_beta if is_unrestricted or task.spin == "any" else of_alpha
    if task.n_states <= count:
        return []
    message = f"the basis gives {count} single excitations, so at most {count} states; got {task.n_states}"
    return [FieldError("$.task.n_states", message)]


def _counts(spec: Spec, parsed: Parsed) -> list[FieldError]:
    method = spec.method
    if not isinstance(method, SampleBasedDiagonalization):
        return []
    path = "$.method.counts"
    if (method.counts is not None) != (method.sampler == "counts"):
        return [FieldError(path, f'counts go with "sampler": "counts" and with no other; got {method.sampler}')]
    if method.counts is None:
        return []
    if not 1 <= len(method.counts) <= MAX_DISTINCT_COUNTS:
        return [FieldError(path, f"needs 1 to {MAX_DISTINCT_COUNTS} bitstrings, got {len(method.counts)}")]
    length = 2 * cost.active(spec, parsed, _functions(spec, parsed))[0]
    for bits in method.counts:
        if len(bits) != length or set(bits) - {"0", "1"}:
            return [FieldError(path, f"bitstrings have {length} characters 0 or 1; got {bits[:60]!r} ({len(bits)})")]
    return []
