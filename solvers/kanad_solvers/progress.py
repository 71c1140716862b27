"""What a solver reports while it works.

A solver fills in the fields of its own kind. The four fields of `Progress` itself are a stamp: they stay at
their defaults in the worker and are set once, by the journal, when the report becomes a numbered event.
Energies are always total energies in hartree; fields that do not apply are null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The stamp that every event carries; ``seq`` runs 1, 2, 3, ... over all attempts of an experiment."""

    experiment_id: str = ""
    attempt: int = 0
    seq: int = 0
    time: str = ""


class Stage(Progress, frozen=True, kw_only=True, tag="stage"):
    """A step of the method is done: ``stage`` of 0 .. ``last_stage``."""

    stage: int
    last_stage: int
    message: str
    energy_hartree: float | None = None


class Convergence(Progress, frozen=True, kw_only=True, tag="convergence"):
    """One iteration of the named series (``scf``, ``davidson``, ``vqe``, ``sqd``, ...)."""

    series: str
    iteration: int
    energy_hartree: float
    delta_hartree: float | None = None
    residual: float | None = None


class State(Progress, frozen=True, kw_only=True, tag="state"):
    """One electronic state was found; ``index`` 0 is the ground state."""

    index: int
    energy_hartree: float
    excitation_ev: float | None = None
    oscillator_strength: float | None = None
    s_squared: float | None = None


class Geometry(Progress, frozen=True, kw_only=True, tag="geometry"):
    """One frame of an optimisation; coordinates are one (x, y, z) per atom, in angstrom."""

    step: int
    energy_hartree: float
    max_gradient: float | None = None
    coordinates_angstrom: tuple[tuple[float, float, float], ...]


class Point(Progress, frozen=True, kw_only=True, tag="point"):
    """One point of a scan."""

    index: int
    value: float
    energy_hartree: float


class Log(Progress, frozen=True, kw_only=True, tag="log"):
    """A sentence for the person who watches."""

    level: Literal["info", "warning", "error"] = "info"
    message: str


Report: TypeAlias = Callable[[Progress], None]
"""Takes one report; returns at once."""

IsCancelled: TypeAlias = Callable[[], bool]
"""Says whether somebody asked for the end; cheap enough for every iteration."""
