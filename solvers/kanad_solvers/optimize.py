"""Geometry optimisation: geomeTRIC takes the steps (Wang and Song, J. Chem. Phys. 144, 214108 (2016))."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from kanad_solvers.internal import ANGSTROM_PER_BOHR
from kanad_solvers.properties import Array
from kanad_solvers.result import Coordinates, Optimization, Result
from kanad_solvers.run import InnerWatch, Solver, Watch, method_solver
from kanad_solvers.spec import Energy, Optimize, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "geometry"
USUAL = "GAU"  # geomeTRIC's names: 1e-6 hartree, 4.5e-4 hartree/bohr and 1.8e-3 angstrom at most
TIGHT = "GAU_TIGHT"  # for vibrations: 1e-6 hartree, 1.5e-5 hartree/bohr and 6e-5 angstrom


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The nearest minimum: its energy, structure and properties, and every step on the way.

    Raises:
        What the method raises at any step.
    """
    assert isinstance(spec.task, Optimize)
    result, _ = minimise(spec, molecule, watch, spec.task.max_steps, USUAL)
    return result


def minimise(spec: Spec, molecule: Parsed, watch: Watch, max_steps: int, criteria: str) -> tuple[Result, Parsed]:
    """The result at the minimum, and the molecule there.

    Args:
        criteria: a set of geomeTRIC's convergence criteria.
    """
    walk = _Descent(spec, _resumed(molecule, watch), watch)
    converged = walk.run(max_steps, criteria)
    watch.stage(0, 1, "Minimum found" if converged else "Optimiser stopped", walk.result.energy_hartree)
    if not converged:
        watch.warn(f"the geometry did not converge in {max_steps} steps: raise max_steps, or restart from the last one")
    optimization = Optimization(
        converged=converged,
        steps=len(walk.energies) - 1,
        max_gradient_hartree_per_bohr=walk.max_gradient,
        energies_hartree=tuple(walk.energies),
    )
    result = replace(
        walk.result,
        optimization=optimization,
        geometry=walk.molecule.geometry,
        converged=walk.result.converged and converged,
    )
    watch.stage(1, 1, "Properties computed", result.energy_hartree)
    return result, walk.molecule


def _resumed(molecule: Parsed, watch: Watch) -> Parsed:
    """The molecule at the last step of a lost attempt, if there was one."""
    kept = watch.recall(MEMORY, "geometry")
    if kept is None or kept["coordinates"].shape != (len(molecule.geometry.symbols), 3):
        return molecule
    return moved(molecule, kept["coordinates"])


def moved(molecule: Parsed, coordinates: Array) -> Parsed:
    """The molecule at other coordinates, shape (natm, 3), angstrom."""
    rows = tuple((float(x), float(y), float(z)) for x, y, z in coordinates)
    return replace(molecule, geometry=Coordinates(symbols=molecule.geometry.symbols, coordinates_angstrom=rows))


class _Descent:
    """Energies and gradients for geomeTRIC, each one a frame for whoever watches."""

    def __init__(self, spec: Spec, molecule: Parsed, watch: Watch) -> None:
        self._solve: Solver = method_solver(spec)
        self._spec = replace(spec, task=Energy(gradient=True))
        self._watch, self._inner = watch, InnerWatch(watch)
        self.molecule = molecule
        self.energies: list[float] = []
        self.max_gradient = float("inf")
        self.result: Result

    def run(self, max_steps: int, criteria: str) -> bool:
        """Descends; says whether geomeTRIC's criteria were met."""
        import geometric.engine
        import geometric.internal
        import geometric.molecule
        import geometric.optimize
        from geometric.errors import GeomOptNotConvergedError

        for name in ("geometric.nifty", "geometric", "MoleculeLogger"):  # the first two carry every module's lines
            logging.getLogger(name).setLevel(logging.CRITICAL)
        descent = self
        start = np.array(self.molecule.geometry.coordinates_angstrom)
        structure = geometric.molecule.Molecule()
        structure.elem = list(self.molecule.geometry.symbols)
        structure.xyzs = [start]

        class Engine(geometric.engine.Engine):  # type: ignore[misc]  # geomeTRIC is untyped
            """Hands energies and gradients to geomeTRIC."""

            def calc(self, coords: Array, dirname: str, **_: Any) -> dict[str, Any]:
                return descent.evaluate(coords.reshape(-1, 3) * ANGSTROM_PER_BOHR)

        structure.build_topology()
        internal = geometric.internal.DelocalizedInternalCoordinates(
            structure, build=True, connect=False, addcart=False
        )
        parameters = geometric.optimize.OptParams(maxiter=max_steps, convergence_set=criteria)
        parameters.xyzout = None
        try:
            geometric.optimize.Optimize(
                start.ravel() / ANGSTROM_PER_BOHR, structure, internal, Engine(structure), "", parameters, False
            )
        except GeomOptNotConvergedError:
            return False
        return True

    def evaluate(self, coordinates: Array) -> dict[str, Any]:
        """Energy and flat gradient in atomic units at coordinates in angstrom, shape (natm, 3)."""
        self.molecule = moved(self.molecule, coordinates)
        self.result = self._solve(self._spec, self.molecule, self._inner.next())
        assert self.result.properties is not None
        gradient = np.array(self.result.properties.gradient_hartree_per_bohr)
        self.max_gradient = float(np.linalg.norm(gradient, axis=1).max())
        self.energies.append(self.result.energy_hartree)
        self._watch.memory.keep(MEMORY, coordinates=np.array(coordinates))
        self._watch.geometry(
            len(self.energies) - 1, self.result.energy_hartree, self.max_gradient, coordinates.tolist()
        )
        return {"energy": self.result.energy_hartree, "gradient": gradient.ravel()}
