"""The errors that chemistry can end in.

    SolverError
    +-- InvalidSpec    fix the input; carries one message per field
    +-- TooLarge       understood, but beyond a limit; carries the limit and a smaller suggestion
    +-- NotConverged   change the settings; carries the last energy
    +-- Cancelled      somebody asked for the end

Every error has a stable ``code``; HTTP answers, the event log, the client and the command line show
the same ``{code, message, details}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One field of the input that breaks a rule: where it stands, and the rule with the value seen."""

    path: str
    message: str


class SolverError(Exception):
    """Root of the errors of this package."""

    code: ClassVar[str] = "solver_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, object] = details


class InvalidSpec(SolverError):
    """The input cannot be computed as it stands; each entry of ``errors`` names a field and its rule."""

    code = "invalid_spec"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def at(cls, path: str, message: str) -> InvalidSpec:
        """An error about a single field, e.g. ``InvalidSpec.at("$.basis", "...")``."""
        return cls([FieldError(path, message)])


class TooLarge(SolverError):
    """The input is sound, but the work is beyond what is allowed; `details` names limit and value."""

    code = "too_large"


class NotConverged(SolverError):
    """An iteration ended above its tolerance and no energy is meaningful."""

    code = "not_converged"


class Cancelled(SolverError):
    """The run was asked to end before it was done."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the run was cancelled")
