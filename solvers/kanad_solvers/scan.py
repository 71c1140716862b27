"""Energies along a bond, an angle or a dihedral; orbitals and amplitudes are handed from point to point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from kanad_solvers import internal
from kanad_solvers.extrapolation import Path
from kanad_solvers.memory import Memory
from kanad_solvers.properties import Array
from kanad_solvers.result import Coordinates, Result, ScanCurve
from kanad_solvers.run import InnerWatch, Solver, Watch, method_solver
from kanad_solvers.spec import Energy, MeanField, Scan, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "scan"
SAME_HARTREE = 1e-5  # energies of one state, solved from two sides
LEAST_KINK_HARTREE = 1e-3
KINK_FACTOR = 4.0  # picked: how much worse than beside it a curve must fit to have jumped


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
    walk.come_back()
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
        self._path = Path()
        self._broken: list[int] = []
        self._lowest: Result | None = None
        self._kept = Memory()
        kept = watch.recall(MEMORY, "finished scan points")
        self.energies: list[float] = [] if kept is None else kept["energies"].tolist()
        self.converged: list[bool] = [] if kept is None else [bool(flag) for flag in kept["converged"]]
        self._done_before = len(self.energies)

    def visit(self, index: int) -> None:
        """Computes one point, unless a lost attempt did."""
        last = len(self._values)
        if index < self._done_before:
            return
        result = self._at(index, self._inner.next())
        self.energies.append(result.energy_hartree)
        self.converged.append(result.converged)
        self._watch.memory.keep(MEMORY, energies=np.array(self.energies), converged=np.array(self.converged))
        self._watch.point(index, self._values[index], result.energy_hartree)
        self._watch.stage(index, last - 1, f"Point {index + 1} of {last}", result.energy_hartree)

    def come_back(self) -> None:
        """Solves the last point without the neighbour's orbitals, and walks back for as long as that is lower.

        Orbitals that are handed on stay in the state they began in, also where another one has become lower.
        """
        fresh = InnerWatch(self._watch, energies_only=True, memory=Memory())
        if not self._is_lower_afresh(fresh):
            return
        self._path = Path()
        for index in reversed(range(1, len(self._values))):
            result = self._at(index, fresh.next())
            if not result.energy_hartree < self.energies[index] - SAME_HARTREE:
                break
            self.energies[index], self.converged[index] = result.energy_hartree, result.converged
            self._watch.point(index, self._values[index], result.energy_hartree)
        else:
            index = 0
        if index < len(self._values) - 1:
            self._broken.append(index)
            self._watch.info(f"a lower state was found from point {index + 2} on; its energies replace the first ones")

    def _is_lower_afresh(self, watch: InnerWatch) -> bool:
        """Whether the last point, solved from atoms and as well as that needs, has a lower energy."""
        method = self._spec.method
        if isinstance(method, MeanField):
            method = replace(method, conv_tol=max(method.conv_tol, SAME_HARTREE / 10))
        index = len(self._values) - 1
        there = replace(self._molecule, geometry=self._geometry(index))
        energy = self._solve(replace(self._spec, method=method), there, watch.next()).energy_hartree
        return energy < self.energies[index] - SAME_HARTREE

    def _geometry(self, index: int) -> Coordinates:
        return internal.with_value(self._molecule.geometry, self._coordinate, self._values[index])

    def _at(self, index: int, watch: InnerWatch) -> Result:
        """The result at one point."""
        geometry = self._geometry(index)
        self._path.prepare(self._values[index], watch.memory)
        result = self._solve(self._spec, replace(self._molecule, geometry=geometry), watch)
        self._path.note(self._values[index], self._watch.field, watch.memory)
        if self._lowest is None or result.energy_hartree < self._lowest.energy_hartree:
            self._lowest, self._kept = replace(result, geometry=geometry), watch.memory.copy()
        return result

    def lowest(self) -> Result:
        """The result at the lowest point, with its properties."""
        index = int(np.argmin(self.energies))
        is_known = self._lowest is not None and self._lowest.energy_hartree <= self.energies[index]
        if is_known and self._lowest is not None and not self._inner.has_left_out:
            return self._lowest
        geometry = self._geometry(index)
        memory = self._kept if is_known else self._watch.memory
        there = replace(self._molecule, geometry=geometry)
        result = self._solve(self._spec, there, InnerWatch(self._watch, mute=True, memory=memory))
        return replace(result, geometry=geometry)

    def jumps(self) -> tuple[int, ...]:
        """Points after which another state was lower, or the energy has a kink."""
        return tuple(sorted({*self._broken, *kinks(np.array(self._values), np.array(self.energies))}))


def kinks(values: Array, energies: Array) -> list[int]:
    """Indices i such that the energy between i and i + 1 does not follow from three points on either side.

    A parabola through three points is held against the fourth, all along the curve. Where the one that ends at i + 1
    and the one that begins at i both miss by far more than the nearest on either side that see nothing of the interval,
    the state has changed. A wall is no kink: there the misses grow towards one side only.
    """
    order = np.argsort(values)
    x, y = values[order], energies[order]
    if len(np.unique(x)) < len(x):
        return []
    misses = [_miss(x, y, first) for first in range(len(x) - 3)]
    found = (
        i
        for i in range(3, len(x) - 4)
        if min(misses[i - 2], misses[i]) > max(KINK_FACTOR * max(misses[i - 3], misses[i + 1]), LEAST_KINK_HARTREE)
    )
    return [int(min(order[i], order[i + 1])) for i in found]


def _miss(x: Array, y: Array, first: int) -> float:
    """How far the parabola through three points from `first` on misses the fourth, hartree."""
    three, fourth = slice(first, first + 3), first + 3
    return float(abs(np.polyval(np.polyfit(x[three], y[three], 2), x[fourth]) - y[fourth]))
