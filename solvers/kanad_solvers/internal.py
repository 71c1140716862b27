"""Bonds, angles and dihedrals: their values in a structure, and structures in which one has another value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.elements import ATOMIC_NUMBER
from kanad_solvers.properties import Array
from kanad_solvers.result import Coordinates
from kanad_solvers.spec import Coordinate, Scan

ANGSTROM_PER_BOHR = 0.529177210903  # CODATA 2018
BOND_FACTOR = 1.3  # atoms nearer than this times the sum of their covalent radii are bonded
COLLINEAR = 1e-8


def scan_values(task: Scan) -> tuple[float, ...]:
    """The values of the coordinate, in the order in which they are computed."""
    if task.values is not None:
        return task.values
    assert task.start is not None
    assert task.stop is not None
    assert task.points is not None
    return tuple(np.linspace(task.start, task.stop, task.points).tolist())


def measure(positions: Array, coordinate: Coordinate) -> float:
    """The coordinate's value, angstrom or degrees; dihedrals lie in (-180, 180], IUPAC sign.

    Args:
        positions: shape (natm, 3), angstrom.
    """
    chosen = positions[list(coordinate.atoms)]
    if coordinate.type == "bond":
        return float(np.linalg.norm(chosen[1] - chosen[0]))
    if coordinate.type == "angle":
        first, second = chosen[0] - chosen[1], chosen[2] - chosen[1]
        return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))
    b1, b2, b3 = np.diff(chosen, axis=0)
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    return float(np.degrees(np.arctan2(np.linalg.norm(b2) * (b1 @ n2), n1 @ n2)))


def with_value(geometry: Coordinates, coordinate: Coordinate, value: float) -> Coordinates:
    """The structure with another value of the coordinate: a rigid fragment moves, the rest stays.

    The fragment is what hangs on the last atom when the bond before it is cut, and for a dihedral everything on the
    far side of the middle bond; in a ring the last atom moves alone.
    """
    positions = np.array(geometry.coordinates_angstrom)
    atoms = coordinate.atoms
    moving = _moving(geometry, coordinate)
    change = value - measure(positions, coordinate)
    if coordinate.type == "bond":
        direction = positions[atoms[1]] - positions[atoms[0]]
        positions[moving] += change * direction / np.linalg.norm(direction)
    else:
        pivot = positions[atoms[-2]]
        turn = _rotation(_axis(positions[list(atoms)]), np.radians(change))
        positions[moving] = (positions[moving] - pivot) @ turn.T + pivot
    rows = tuple((float(x), float(y), float(z)) for x, y, z in positions)
    return Coordinates(symbols=geometry.symbols, coordinates_angstrom=rows)


def _axis(chosen: Array) -> Array:
    """Unit vector about which a positive rotation of the last atom raises the angle or the dihedral."""
    if len(chosen) == 3:
        axis = np.cross(chosen[0] - chosen[1], chosen[2] - chosen[1])
        if np.linalg.norm(axis) < COLLINEAR:  # a straight angle bends in any direction
            along = chosen[2] - chosen[1]
            axis = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    else:
        axis = chosen[2] - chosen[1]
    return np.asarray(axis / np.linalg.norm(axis))


def _rotation(axis: Array, angle: float) -> Array:
    """Rodrigues' rotation matrix, shape (3, 3)."""
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def bonded(geometry: Coordinates) -> NDArray[np.bool_]:
    """Which atoms are bonded, by distance, shape (natm, natm)."""
    from pyscf.data.radii import COVALENT

    positions = np.array(geometry.coordinates_angstrom)
    radii = np.array([COVALENT[ATOMIC_NUMBER[symbol]] for symbol in geometry.symbols]) * ANGSTROM_PER_BOHR
    distances = np.linalg.norm(positions[:, None] - positions[None, :], axis=2)
    found = distances < BOND_FACTOR * (radii[:, None] + radii[None, :])
    np.fill_diagonal(found, False)
    return np.asarray(found)


def _moving(geometry: Coordinates, coordinate: Coordinate) -> list[int]:
    """Atoms that move with the coordinate."""
    atoms = coordinate.atoms
    if coordinate.type == "dihedral":
        side = _fragment(geometry, atoms[1], atoms[2])
        if atoms[3] in side and atoms[0] not in side:
            return side
    return _fragment(geometry, atoms[-2], atoms[-1])


def _fragment(geometry: Coordinates, fixed: int, moved: int) -> list[int]:
    """Atoms that move with `moved` when its bond to `fixed` is cut; `moved` alone if they hang together elsewhere."""
    neighbours = bonded(geometry)
    neighbours[fixed, moved] = neighbours[moved, fixed] = False
    reached, frontier = {moved}, [moved]
    while frontier:
        for other in np.flatnonzero(neighbours[frontier.pop()]).tolist():
            if other not in reached:
                reached.add(other)
                frontier.append(other)
    return [moved] if fixed in reached else sorted(reached)
