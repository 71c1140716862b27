"""Whether a scan can be walked: its coordinate exists, its values make sense, and no two atoms meet on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kanad_solvers.errors import FieldError
from kanad_solvers.spec import Optimize, Scan, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed
    from kanad_solvers.properties import Array

ATOMS = {"bond": 2, "angle": 3, "dihedral": 4}
RANGES = {"bond": (0.3, 100.0), "angle": (0.0, 180.0), "dihedral": (-360.0, 360.0)}
LEAST_SINE = 1e-6


def errors(spec: Spec, parsed: Parsed) -> Iterator[FieldError]:
    """Every rule about geometries that the task breaks."""
    task = spec.task
    if isinstance(task, Optimize) and len(parsed.geometry.symbols) < 2:
        yield FieldError("$.task.name", "optimize needs at least two atoms, got one")
    if not isinstance(task, Scan):
        return
    found = [*_coordinate(task, len(parsed.geometry.symbols)), *_values(task)]
    if not found:
        found = [*_walk(task, parsed)]
    yield from found


def _coordinate(task: Scan, atoms: int) -> Iterator[FieldError]:
    path, chosen = "$.task.coordinate.atoms", task.coordinate.atoms
    needed = ATOMS[task.coordinate.type]
    if len(chosen) != needed:
        yield FieldError(path, f"a {task.coordinate.type} has {needed} atoms, got {len(chosen)}")
    if len(set(chosen)) != len(chosen):
        yield FieldError(path, f"the atoms must differ, got {', '.join(map(str, chosen))}")
    if max(chosen) >= atoms:
        yield FieldError(path, f"the molecule has atoms 0 to {atoms - 1}, got {max(chosen)}")


def _values(task: Scan) -> Iterator[FieldError]:
    given = [task.start, task.stop, task.points]
    if task.values is not None and any(part is not None for part in given):
        yield FieldError("$.task.values", "give values, or start, stop and points, not both")
        return
    if task.values is None and any(part is None for part in given):
        yield FieldError("$.task.values", "needs values, or start, stop and points")
        return
    low, high = RANGES[task.coordinate.type]
    listed = task.values if task.values is not None else (task.start, task.stop)
    for value in listed:
        if value is None or not math.isfinite(value) or not low <= value <= high:
            path = "$.task.values" if task.values is not None else "$.task.start"
            yield FieldError(path, f"a {task.coordinate.type} lies within {low:g} and {high:g}; got {value}")
            return
    if task.values is None and task.start == task.stop:
        yield FieldError("$.task.stop", f"must differ from start, got {task.stop}")


def _walk(task: Scan, parsed: Parsed) -> Iterator[FieldError]:
    """Points at which atoms coincide, or a dihedral that is not defined."""
    import numpy as np

    from kanad_solvers import internal
    from kanad_solvers.molecule import too_close

    positions = np.array(parsed.geometry.coordinates_angstrom)
    if task.coordinate.type == "dihedral":
        i, j, k, m = (positions[atom] for atom in task.coordinate.atoms)
        if min(_sine(i - j, k - j), _sine(j - k, m - k)) < LEAST_SINE:
            yield FieldError("$.task.coordinate.atoms", "three of the four atoms lie on a line: no dihedral is defined")
            return
    for value in internal.scan_values(task):
        moved = internal.with_value(parsed.geometry, task.coordinate, value)
        nuclei = list(zip(moved.symbols, moved.coordinates_angstrom, strict=True))
        problems = too_close(nuclei, "", indexed=False)
        if problems:
            yield FieldError("$.task.values", f"at {value:g}: {problems[0].message}")
            return


def _sine(first: Array, second: Array) -> float:
    import numpy as np

    return float(np.linalg.norm(np.cross(first, second)) / np.linalg.norm(first) / np.linalg.norm(second))
