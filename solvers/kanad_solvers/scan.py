"""Energies along a bond, an angle or a dihedral; orbitals and amplitudes are handed from point to point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from kanad_solvers import internal
from kanad_solvers.properties import Array
from kanad_solvers.result import Result, ScanCurve
from kanad_solvers.run import InnerWatch, Solver, Watch, method_solver
from kanad_solvers.spec import Energy, Scan, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "scan"
LEAST_OVERLAP = 0.5  # smallest singular value between occupied spaces of neighbours; a change of state gives about 0
LEAST_KINK_HARTREE = 2e-3
KINK_FACTOR = 10.0  # picked: how much worse than elsewhere a point must fit its neighbours to be called a jump


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The method's energy at every point; the result is that of the lowest point, with the curve.

    Raises:
        What the method raises at the first point; a later point that fails ends the scan with its error.
    """
    task = spec.task
    assert isinstance(task, Scan)
    values = internal.scan_values(task)
    walk = _Walk(spec, molecule, values, watch)
    for index in range(len(values)):
        walk.visit(index)
    best = walk.lowest()
    jumps = walk.jumps()
    for index in jumps:
        watch.warn(
            f"the state seems to change between {values[index]:g} and {values[index + 1]:g} "
            f"({'angstrom' if task.coordinate.type == 'bond' else 'degrees'}): the curve has a jump or a kink there"
        )
    curve = ScanCurve(
        type=task.coordinate.type,
        atoms=task.coordinate.atoms,
        values=values,
        energies_hartree=tuple(walk.energies),
        converged=tuple(walk.converged),
        jumps=jumps,
    )
    return replace(best, scan=curve, converged=all(walk.converged))


class _Walk:
    """The points that are done, and what the next one starts from."""

    def __init__(self, spec: Spec, molecule: Parsed, values: tuple[float, ...], watch: Watch) -> None:
        assert isinstance(spec.task, Scan)
        self._coordinate = spec.task.coordinate
        self._spec, self._molecule, self._values = replace(spec, task=Energy()), molecule, values
        self._solve: Solver = method_solver(spec)
        self._watch = watch
        self._inner = InnerWatch(watch, energies_only=True)
        self._occupied: Any = None
        self._broken: list[int] = []
        self._lowest: tuple[float, Result] | None = None
        kept = watch.recall(MEMORY, "finished scan points")
        self.energies: list[float] = [] if kept is None else kept["energies"].tolist()
        self.converged: list[bool] = [] if kept is None else [bool(flag) for flag in kept["converged"]]
        self._done_before = len(self.energies)

    def visit(self, index: int) -> None:
        """Computes one point, unless a lost attempt did."""
        last = len(self._values)
        if index < self._done_before:
            return
        value = self._values[index]
        geometry = internal.with_value(self._molecule.geometry, self._coordinate, value)
        result = self._solve(self._spec, replace(self._molecule, geometry=geometry), self._inner.next())
        self._compare_orbitals(index)
        self.energies.append(result.energy_hartree)
        self.converged.append(result.converged)
        if self._lowest is None or result.energy_hartree < self._lowest[0]:
            self._lowest = (result.energy_hartree, replace(result, geometry=geometry))
        self._watch.memory.keep(MEMORY, energies=np.array(self.energies), converged=np.array(self.converged))
        self._watch.point(index, value, result.energy_hartree)
        self._watch.stage(index, last - 1, f"Point {index + 1} of {last}", result.energy_hartree)

    def lowest(self) -> Result:
        """The result at the lowest point, with its properties."""
        index = int(np.argmin(self.energies))
        if self._lowest is not None and self._lowest[0] <= self.energies[index] and self._lowest[1].properties:
            return self._lowest[1]
        geometry = internal.with_value(self._molecule.geometry, self._coordinate, self._values[index])
        there = replace(self._molecule, geometry=geometry)
        result = self._solve(self._spec, there, InnerWatch(self._watch, mute=True))
        return replace(result, geometry=geometry)

    def jumps(self) -> tuple[int, ...]:
        """Points after which the occupied orbitals, or the energy, do not go on as they did."""
        return tuple(sorted({*self._broken, *kinks(np.array(self._values), np.array(self.energies))}))

    def _compare_orbitals(self, index: int) -> None:
        """Notes a break where the occupied space is not the neighbour's, carried along with the atoms."""
        now = occupied_space(self._watch.field, self._watch.window)
        before, self._occupied = self._occupied, now
        if before is None or now is None or len(before) != len(now):
            return
        smallest = min((overlap(a, b) for a, b in zip(before, now, strict=True)), default=1.0)
        if smallest < LEAST_OVERLAP:
            self._broken.append(index - 1)


def occupied_space(field: Any, window: Any) -> list[Array] | None:
    """Spaces that the neighbour should share, in orthogonalised atomic orbitals, each shape (nao, n).

    They are the occupied orbitals of each spin, or the core and the core with the active orbitals of a window.
    """
    if field is None:
        return None
    values, vectors = np.linalg.eigh(field.mol.intor_symmetric("int1e_ovlp"))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    if window is not None:
        edges = (window.ncore, window.ncore + window.norb)
        return [root @ window.orbitals[:, :edge] for edge in edges]
    coefficients, occupations = np.asarray(field.mo_coeff), np.asarray(field.mo_occ)
    if coefficients.ndim == 3:
        return [root @ coefficients[s][:, occupations[s] > 0.5] for s in (0, 1)]
    return [root @ coefficients[:, occupations > 0.5], root @ coefficients[:, occupations > 1.5]]


def overlap(before: Array, now: Array) -> float:
    """Smallest singular value between two orthonormal spaces; 1 where they are the same or empty."""
    if before.shape != now.shape or 0 in before.shape:
        return 1.0
    return float(np.linalg.svd(before.T @ now, compute_uv=False).min())


def kinks(values: Array, energies: Array) -> list[int]:
    """Indices i such that the energy between i and i + 1 does not follow from three points on either side.

    A parabola through the three points before i + 1 is held against that point, and one through the three after i
    against point i; where both miss by far more than is usual along the curve, the state has changed.
    """
    order = np.argsort(values)
    x, y = values[order], energies[order]
    if len(x) < 7 or len(np.unique(x)) < len(x):
        return []
    inner = range(2, len(x) - 3)
    gaps = np.array(inner)
    misses = np.array([min(_miss(x, y, i, i + 1), _miss(x, y, i + 1, i)) for i in inner])
    usual = np.median(misses)
    found = gaps[(misses > KINK_FACTOR * usual) & (misses > LEAST_KINK_HARTREE)]
    return [int(min(order[i], order[i + 1])) for i in found if misses[i - 2] >= misses[max(i - 3, 0) : i].max()]


def _miss(x: Array, y: Array, near: int, target: int) -> float:
    """How far the parabola through three points from `near` away from `target` misses it, hartree."""
    step = -1 if target > near else 1
    places = [near, near + step, near + 2 * step]
    return float(abs(np.polyval(np.polyfit(x[places], y[places], 2), x[target]) - y[target]))
