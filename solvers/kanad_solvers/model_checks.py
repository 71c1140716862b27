"""The rules of a Hamiltonian without nuclei: what asks for atoms or for a basis is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kanad_solvers.errors import FieldError
from kanad_solvers.spec import NO_BASIS, Energy, Spec, name_of

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

METHODS = ("casci", "fci", "selected_ci", "sqd", "krylov_sqd", "vqe", "adapt_vqe")
TASKS = ("energy", "excited_states")
_UNSAID = Spec.__struct_defaults__[Spec.__struct_fields__.index("basis") - len(Spec.__struct_fields__)]


def errors(spec: Spec, posted: Spec, parsed: Parsed) -> Iterator[FieldError]:
    """Every rule that a spec with an FCIDUMP breaks; `posted` is the spec before names were filled in."""
    if parsed.orbitals is None:
        return
    method, task = name_of(spec.method), name_of(spec.task)
    if method not in METHODS:
        yield FieldError("$.method.name", f"a Hamiltonian without nuclei is for {', '.join(METHODS)}; got {method}")
    if task not in TASKS:
        yield FieldError("$.task.name", f"a Hamiltonian without nuclei has {' and '.join(TASKS)}; got {task}")
    if posted.basis not in (_UNSAID, NO_BASIS):
        yield FieldError("$.basis", f"an fcidump brings its own orbitals; leave basis out, got {posted.basis!r}")
    if isinstance(spec.task, Energy) and spec.task.gradient:
        yield FieldError("$.task.gradient", "there are no nuclei to move; leave it out")
    if spec.cartesian:
        yield FieldError("$.cartesian", "an fcidump brings its own orbitals; leave it out")
    if spec.solvent is not None:
        yield FieldError("$.solvent", "there are no nuclei to solvate; leave it out")
    chosen = spec.active_space
    if chosen is not None and (chosen.frozen_core or chosen.avas is not None):
        yield FieldError("$.active_space", "without atoms a window is named by electrons and orbitals")
