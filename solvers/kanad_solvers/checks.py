"""The rules that need chemistry: does the basis cover the elements, does the method fit the molecule and the task."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kanad_solvers import basis as basis_sets
from kanad_solvers import cost, functionals, model_checks, scan_checks
from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.functionals import FUNCTIONALS
from kanad_solvers.registry import METHODS
from kanad_solvers.spec import (
    NO_BASIS,
    AdaptiveEigensolver,
    CompleteActiveSpace,
    Configurations,
    Correlated,
    DensityFunctional,
    Energy,
    ExcitedStates,
    Frequencies,
    MeanField,
    Method,
    Optimize,
    OptimizedActiveSpace,
    Probe,
    SampleBasedDiagonalization,
    SampledSubspace,
    SinglesDoubles,
    Spec,
    VariationalEigensolver,
    name_of,
)

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MAX_DISTINCT_COUNTS = 100_000


def canonical(spec: Spec, parsed: Parsed) -> Spec:
    """`spec` with every name and default filled in.

    Raises:
        InvalidSpec: every rule that it breaks.
    """
    made = replace(
        spec,
        basis=_basis_name(spec),
        molecule=replace(spec.molecule, multiplicity=parsed.multiplicity),
        method=_named_functional(spec),
    )
    if isinstance(spec.method, Probe):
        return made
    errors = [
        *model_checks.errors(made, spec, parsed),
        *_basis(made, parsed),
        *_task(made),
        *_reference(made),
        *_functional(made),
        *_solvent(made),
        *_gradient(made),
        *_variational(made),
        *scan_checks.errors(made, parsed),
    ]
    if not errors:
        errors = [*_active_space(made, parsed)]
    if not errors:
        errors = [*_states(made, parsed), *_electrons(made, parsed), *_counts(made, parsed)]
    if errors:
        raise InvalidSpec(errors)
    return made


# Names


def _basis_name(spec: Spec) -> str:
    if spec.molecule.fcidump is not None:
        return NO_BASIS
    name = basis_sets.canonical(spec.basis)
    if name is None:
        message = f"basis sets are {', '.join(basis_sets.BASES)}; got {spec.basis!r}"
        raise InvalidSpec.at("$.basis", message)
    return name


def _named_functional(spec: Spec) -> Method:
    if not isinstance(spec.method, DensityFunctional):
        return spec.method
    name = functionals.canonical(spec.method.xc)
    if name is None:
        message = f"functionals are {', '.join(FUNCTIONALS)}; got {spec.method.xc!r}"
        raise InvalidSpec.at("$.method.xc", message)
    return replace(spec.method, xc=name)


_functions = cost.basis_functions


def _basis(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    symbols = sorted(set(parsed.geometry.symbols))
    missing = [symbol for symbol in symbols if basis_sets.load(spec.basis, symbol) is None]
    if missing:
        message = f"{spec.basis} has no functions for {', '.join(missing)}; def2-svp covers H to Rn"
        yield FieldError("$.basis", message)


# Method and task


def _task(spec: Spec) -> Iterator[FieldError]:
    method, task = name_of(spec.method), name_of(spec.task)
    allowed = METHODS[method].tasks
    if task not in allowed:
        others = ", ".join(name for name, entry in METHODS.items() if task in entry.tasks)
        message = f"{method} does {', '.join(allowed)}, not {task}; {task} works with {others}"
        yield FieldError("$.task.name", message)
    if isinstance(spec.task, ExcitedStates) and spec.task.tda and not isinstance(spec.method, MeanField):
        yield FieldError("$.task.tda", "tda is an option of hf and dft; leave it out")
    if isinstance(spec.task, Optimize | ExcitedStates) and isinstance(spec.method, OptimizedActiveSpace):
        counted = "task.n_states counts the states" if isinstance(spec.task, ExcitedStates) else "only the ground state"
        if spec.method.n_states != 1:
            yield FieldError("$.method.n_states", f"{counted} of {task}; leave this out, got {spec.method.n_states}")


def _reference(spec: Spec) -> Iterator[FieldError]:
    method, multiplicity = spec.method, spec.molecule.multiplicity
    if isinstance(method, MeanField | Correlated) and method.reference == "rhf" and multiplicity != 1:
        others = "uhf or rohf" if isinstance(method, MeanField) else "uhf"
        message = f"rhf needs multiplicity 1, got {multiplicity}; take {others}"
        yield FieldError("$.method.reference", message)
    if isinstance(method, MeanField) and method.reference == "rohf":
        if isinstance(spec.task, ExcitedStates):
            yield FieldError("$.method.reference", "excited states need rhf or uhf, got rohf")
        if isinstance(spec.task, Frequencies):
            yield FieldError("$.method.reference", "frequencies need rhf or uhf, got rohf")
    if isinstance(method, VariationalEigensolver | AdaptiveEigensolver) and multiplicity != 1:
        message = f"{name_of(method)} needs multiplicity 1, got {multiplicity}; fci and sqd take open shells"
        yield FieldError("$.molecule.multiplicity", message)


def _functional(spec: Spec) -> Iterator[FieldError]:
    method = spec.method
    if not isinstance(method, DensityFunctional):
        return
    functional = FUNCTIONALS[method.xc]
    if method.dispersion != "none" and method.dispersion not in functional.dispersions:
        offered = ", ".join(functional.dispersions) or "none of them"
        message = f"{method.xc} has parameters for {offered}; got {method.dispersion}"
        yield FieldError("$.method.dispersion", message)
    if functional.has_vv10 and isinstance(spec.task, ExcitedStates | Frequencies):
        message = f"{method.xc} has a nonlocal term (VV10) that {name_of(spec.task)} cannot treat; take another"
        yield FieldError("$.method.xc", message)


def _solvent(spec: Spec) -> Iterator[FieldError]:
    solvent = spec.solvent
    if solvent is None:
        return
    from kanad_solvers.solvents import permittivities

    if solvent.name not in permittivities():
        message = f"solvents are {', '.join(permittivities())}; got {solvent.name!r}"
        yield FieldError("$.solvent.name", message)
    if not isinstance(spec.method, MeanField):
        yield FieldError("$.solvent", f"solvents are offered for hf and dft; got {name_of(spec.method)}")
    if isinstance(spec.task, ExcitedStates):
        yield FieldError("$.solvent", "excited states are offered in the gas phase; leave the solvent out")
    if isinstance(spec.task, Frequencies) and solvent.model == "ddcosmo":
        yield FieldError("$.solvent.model", "frequencies are offered with cpcm and smd; got ddcosmo")


def _gradient(spec: Spec) -> Iterator[FieldError]:
    method = spec.method
    asked = isinstance(spec.task, Optimize) or (isinstance(spec.task, Energy) and spec.task.gradient)
    if not asked:
        return
    if isinstance(method, Correlated) and method.density_fit:
        message = f"{name_of(method)} has no gradients with fitted integrals; leave density_fit out"
        yield FieldError("$.method.density_fit", message)
    if isinstance(method, OptimizedActiveSpace) and method.n_states != 1 and isinstance(spec.task, Energy):
        yield FieldError("$.method.n_states", f"gradients are those of one state; got {method.n_states}")


def _variational(spec: Spec) -> Iterator[FieldError]:
    method = spec.method
    needs = isinstance(method, VariationalEigensolver) and method.ansatz == "lucj"
    needs = needs or (isinstance(method, SampleBasedDiagonalization) and method.sampler == "lucj")
    if needs and find_spec("ffsim") is None:
        field = "ansatz" if isinstance(method, VariationalEigensolver) else "sampler"
        message = "lucj needs the package ffsim on the server: pip install 'kanad-server[quantum]'"
        yield FieldError(f"$.method.{field}", message)
    if isinstance(method, VariationalEigensolver) and method.shots is not None:
        if method.optimizer in ("l-bfgs-b", "slsqp"):
            message = f"{method.optimizer} needs exact gradients, which shots do not give; take spsa or cobyla"
            yield FieldError("$.method.optimizer", message)
        if method.ansatz == "hardware_efficient":
            yield FieldError("$.method.shots", "shots are offered for uccsd and lucj; leave them out")
    if isinstance(spec.task, ExcitedStates) and isinstance(method, VariationalEigensolver):
        if method.ansatz == "hardware_efficient":
            message = "excited states expand around a state with the right electrons: take uccsd or lucj"
            yield FieldError("$.method.ansatz", message)
        if method.shots is not None:
            yield FieldError("$.method.shots", "excited states are computed exactly; leave shots out")


# Active space, states, counts


def _active_space(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    chosen, path, method = spec.active_space, "$.active_space", spec.method
    if isinstance(method, MeanField | Correlated):
        if chosen is not None:
            frozen = "; its core is frozen by method.frozen_core" if isinstance(method, Correlated) else ""
            yield FieldError(path, f"{name_of(method)} has no active space{frozen}; leave it out")
        return
    if chosen is None:
        if isinstance(method, CompleteActiveSpace | OptimizedActiveSpace):
            message = f'{name_of(method)} needs one, such as {{"electrons": 6, "orbitals": 6}}'
            yield FieldError(path, message)
            return
    elif problem := _window(spec, parsed):
        yield problem
        return
    if chosen is not None and chosen.avas is not None:
        return
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    if not 0 <= beta <= alpha <= orbitals or alpha + beta < 1:
        yield FieldError(path, f"{alpha} alpha and {beta} beta electrons do not fit {orbitals} orbitals")


def _window(spec: Spec, parsed: Parsed) -> FieldError | None:
    """What is wrong with an active space that was given."""
    chosen, path, functions = spec.active_space, "$.active_space", _functions(spec, parsed)
    assert chosen is not None
    if (chosen.electrons is None) != (chosen.orbitals is None):
        return FieldError(path, "electrons and orbitals go together; give both or neither")
    ways = (chosen.electrons is not None) + chosen.frozen_core + (chosen.avas is not None)
    if ways != 1:
        return FieldError(path, 'needs either electrons and orbitals, or "frozen_core": true, or avas')
    if isinstance(spec.method, OptimizedActiveSpace) and chosen.frozen_core:
        return FieldError(path, "casscf needs electrons and orbitals, or avas")
    if chosen.avas is not None:
        return _labels(chosen.avas, parsed)
    if chosen.electrons is None or chosen.orbitals is None:
        return None
    if chosen.electrons > parsed.electrons:
        return FieldError(f"{path}.electrons", f"the molecule has {parsed.electrons}, got {chosen.electrons}")
    if (chosen.electrons - parsed.multiplicity + 1) % 2:
        message = f"{chosen.electrons} electrons do not fit multiplicity {parsed.multiplicity}"
        return FieldError(f"{path}.electrons", message)
    if chosen.orbitals > functions:
        return FieldError(f"{path}.orbitals", f"the basis gives {functions}, got {chosen.orbitals}")
    filled = (parsed.electrons - _ecp(spec, parsed) - chosen.electrons) // 2
    if filled < 0 or filled + chosen.orbitals > functions:
        message = f"{filled} filled orbitals lie below the window, so at most {functions - filled} fit; got"
        return FieldError(f"{path}.orbitals", f"{message} {chosen.orbitals}")
    return None


def _labels(labels: tuple[str, ...], parsed: Parsed) -> FieldError | None:
    """An AVAS label that names no atom of the molecule."""
    symbols = parsed.geometry.symbols
    for place, label in enumerate(labels):
        *index, symbol, _ = label.split()
        found = symbol in symbols if not index else int(index[0]) < len(symbols) and symbols[int(index[0])] == symbol
        if not found:
            return FieldError(
                f"$.active_space.avas[{place}]", f"no atom of the molecule is {label.rpartition(' ')[0]!r}"
            )
    return None


def _ecp(spec: Spec, parsed: Parsed) -> int:
    return sum(basis_sets.ecp_electrons(spec.basis, symbol) for symbol in parsed.geometry.symbols)


def _states(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    method, task = spec.method, spec.task
    if isinstance(task, ExcitedStates) and isinstance(method, MeanField | SinglesDoubles):
        yield from _excitations(spec, method, task, parsed)
        return
    if isinstance(task, Frequencies) and len(parsed.geometry.symbols) > 1:
        _, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
        if not beta:
            message = f"analytic Hessians need electrons of both spins, got {alpha} alpha and none beta"
            yield FieldError("$.task.name", message)
        return
    if not isinstance(method, Configurations | SampledSubspace | VariationalEigensolver):
        return
    own = getattr(method, "n_states", 1)
    if isinstance(task, ExcitedStates) and own != 1:
        yield FieldError("$.method.n_states", "task.n_states counts the states of excited_states; leave this out")
        return
    if spec.active_space is not None and spec.active_space.avas is not None:
        return  # how many there are is known once the orbitals are
    wanted = task.n_states + 1 if isinstance(task, ExcitedStates) else own
    path = "$.task.n_states" if isinstance(task, ExcitedStates) else "$.method.n_states"
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    count = cost.determinants(orbitals, alpha, beta)
    if wanted > count:
        message = f"{count} determinants give at most {count} states with the ground state; got {wanted}"
        yield FieldError(path, message)
    spin = task.spin if isinstance(task, ExcitedStates) else getattr(method, "spin", "any")
    if isinstance(method, Configurations) and spin != "any" and (alpha + beta) % 2:
        where = "$.task.spin" if isinstance(task, ExcitedStates) else "$.method.spin"
        yield FieldError(where, f"{alpha + beta} electrons have no {spin} states; take any")


def _excitations(
    spec: Spec, method: MeanField | SinglesDoubles, task: ExcitedStates, parsed: Parsed
) -> Iterator[FieldError]:
    """CIS, TDHF and TDDFT have one state for each excitation of one electron (and spin, on a restricted reference)."""
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    of_alpha, of_beta = alpha * (orbitals - alpha), beta * (orbitals - beta)
    is_unrestricted = method.reference == "uhf" or parsed.multiplicity > 1
    count = of_alpha + of_beta if is_unrestricted or task.spin == "any" else of_alpha
    if isinstance(method, SinglesDoubles):
        count += of_alpha * of_beta
        if min(of_alpha, of_beta) < 1:
            message = f"EOM-CCSD needs electrons to excite of both spins, got {alpha} alpha and {beta} beta; take fci"
            yield FieldError("$.method.name", message)
            return
    if task.n_states > count:
        message = f"the basis gives {count} excitations, so at most {count} states; got {task.n_states}"
        yield FieldError("$.task.n_states", message)


def _electrons(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    """Methods that correlate pairs need a pair, and an empty orbital to excite it to."""
    if not isinstance(spec.method, Correlated):
        return
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    if alpha + beta < 2 or min(alpha, beta) < 0:
        message = f"{name_of(spec.method)} needs at least 2 correlated electrons, got {max(alpha + beta, 0)}; take hf"
        yield FieldError("$.method.name", message)
    elif alpha == orbitals:
        message = f"{name_of(spec.method)} needs an empty orbital, and all {orbitals} are filled; take a larger basis"
        yield FieldError("$.basis", message)


def _counts(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    method = spec.method
    if not isinstance(method, SampleBasedDiagonalization):
        return
    path = "$.method.counts"
    if (method.counts is not None) != (method.sampler == "counts"):
        yield FieldError(path, f'counts go with "sampler": "counts" and with no other; got {method.sampler}')
        return
    if method.counts is None:
        return
    if not 1 <= len(method.counts) <= MAX_DISTINCT_COUNTS:
        yield FieldError(path, f"needs 1 to {MAX_DISTINCT_COUNTS} bitstrings, got {len(method.counts)}")
        return
    orbitals, alpha, beta = cost.active(spec, parsed, _functions(spec, parsed))
    for bits in method.counts:
        if len(bits) != 2 * orbitals or set(bits) - {"0", "1"}:
            message = f"bitstrings have {2 * orbitals} characters 0 or 1; got {bits[:60]!r} ({len(bits)})"
            yield FieldError(path, message)
            return
    if not any(_has_electrons(bits, orbitals, alpha, beta) for bits in method.counts) and method.max_iterations == 1:
        message = (
            f"no bitstring has {alpha} alpha and {beta} beta electrons, so a single iteration has nothing to "
            "diagonalise; allow more, for recovery"
        )
        yield FieldError(path, message)


def _has_electrons(bits: str, orbitals: int, alpha: int, beta: int) -> bool:
    return bits[:orbitals].count("1") == beta and bits[orbitals:].count("1") == alpha
