"""What the tests of the solvers share: runs from plain dictionaries, and molecules."""

from __future__ import annotations

from typing import Any

import msgspec

from kanad_solvers.progress import Convergence, Progress, Stage, State
from kanad_solvers.result import Result
from kanad_solvers.run import run
from kanad_solvers.spec import Spec


def atoms(*rows: tuple[str, float, float, float], charge: int = 0, multiplicity: int = 1) -> dict[str, Any]:
    """A molecule as it is posted."""
    listed = [{"symbol": symbol, "position_angstrom": [x, y, z]} for symbol, x, y, z in rows]
    return {"atoms": listed, "charge": charge, "multiplicity": multiplicity}


H2 = atoms(("H", 0, 0, 0), ("H", 0, 0, 0.7414))
LIH = atoms(("Li", 0, 0, 0), ("H", 0, 0, 1.5949))
WATER = atoms(("O", 0, 0, 0.1173), ("H", 0, 0.7572, -0.4692), ("H", 0, -0.7572, -0.4692))
OXYGEN = atoms(("O", 0, 0, 0), ("O", 0, 0, 1.2075), multiplicity=3)
FAR_H2 = atoms(("H", 0, 0, 0), ("H", 0, 0, 20.0))


class Reports(list[Progress]):
    """Everything that a run reported."""

    def series(self, name: str) -> list[Convergence]:
        return [report for report in self if isinstance(report, Convergence) and report.series == name]

    def stages(self) -> list[Stage]:
        return [report for report in self if isinstance(report, Stage)]

    def states(self) -> list[State]:
        return [report for report in self if isinstance(report, State)]


def solve(molecule: dict[str, Any], method: dict[str, Any], **more: Any) -> tuple[Result, Reports]:
    """Runs a spec and hands back its result and its reports."""
    return solve_spec({"molecule": molecule, "method": method, **more})


def solve_spec(spec: dict[str, Any]) -> tuple[Result, Reports]:
    """The same from a whole spec."""
    reports = Reports()
    return run(msgspec.convert(spec, Spec), reports.append, lambda: False), reports
