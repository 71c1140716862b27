"""What a display of a run shows, put together from its events."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, TypeAlias

from kanad_server.wire import Convergence, Event, Experiment, Geometry, Log, Point, Stage, State, Status
from kanad_solvers.result import Coordinates
from kanad_solvers.spec import name_of

MAX_POINTS = 2_000
WIDTH, HEIGHT = 480, 150
STEPS = ("scan", "optimisation")
"""Series whose every entry is a whole calculation: they are charted in place of what converges within one."""
Plain: TypeAlias = dict[str, Any]


class View:
    """The state of a display as plain data: what the widget is sent, and what the page without one is made of."""

    def __init__(self, experiment: Experiment) -> None:
        spec = experiment.spec
        self.plain: Plain = {
            "id": experiment.id,
            "title": experiment.name or experiment.id,
            "method": f"{name_of(spec.method)}/{spec.basis}, {name_of(spec.task)}",
            "status": experiment.status,
            "percent": experiment.progress.percent,
            "words": experiment.progress.stage or "",
            "energy": experiment.energy_hartree,
            "series": "",
            "values": [],
            "states": [],
            "structure": None,
            "message": "" if experiment.error is None else experiment.error.message,
        }

    def take(self, event: Event) -> None:
        """Bring the state up to date."""
        plain = self.plain
        match event:
            case Status():
                plain |= {"status": event.status, "percent": event.progress}
                if event.energy_hartree is not None:
                    plain["energy"] = event.energy_hartree
                if event.error is not None:
                    plain["message"] = event.error.message
            case Stage(stage=stage, last_stage=last, message=message):
                plain["percent"] = max(plain["percent"], round(100 * (stage + 1) / (last + 1)))
                plain["words"] = message
            case Convergence(series=series, energy_hartree=energy):
                if plain["series"] not in STEPS:
                    self._add(series, energy)
            case Point(energy_hartree=energy):
                self._add(STEPS[0], energy)
            case Geometry(energy_hartree=energy, coordinates_angstrom=rows):
                self._add(STEPS[1], energy)
                if plain["structure"] is not None:
                    plain["structure"] = plain["structure"] | {"positions": rows}
            case State():
                label = {"index": event.index, "energy": event.energy_hartree, "excitation": event.excitation_ev}
                plain["states"] = [*(s for s in plain["states"] if s["index"] != event.index), label]
            case Log():
                pass

    def place(self, geometry: Coordinates | None) -> None:
        """Show this structure."""
        if geometry is not None and geometry.symbols:
            self.plain["structure"] = {"symbols": geometry.symbols, "positions": geometry.coordinates_angstrom}

    def _add(self, series: str, energy: float) -> None:
        plain = self.plain
        if series != plain["series"]:
            plain |= {"series": series, "values": []}
        plain |= {"energy": energy, "values": [*plain["values"], energy][-MAX_POINTS:]}

    def text(self) -> str:
        """One line."""
        energy = self.plain["energy"]
        shown = "" if energy is None else f", {energy:.8f} Eh"
        return f"<Run {self.plain['id']} {self.plain['status']}{shown}>"

    def html(self) -> str:
        """A still picture, for where there is no widget."""
        plain = self.plain
        energy = "" if plain["energy"] is None else f"<b>{plain['energy']:.8f} Eh</b>"
        head = f"<b>{html.escape(plain['title'])}</b> {html.escape(plain['method'])}"
        line = f"{html.escape(plain['status'])}, {plain['percent']:.0f}% {html.escape(plain['words'])} {energy}"
        return (
            f"<div>{head}<br>{line}<br>{html.escape(plain['message'])}{_chart(plain['series'], plain['values'])}</div>"
        )


def _chart(series: str, values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{index * WIDTH / (len(values) - 1):.1f},{(high - value) / span * HEIGHT:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<br><svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 -5 {WIDTH} {HEIGHT + 10}" role="img">'
        f"<title>{html.escape(series)}: {low:.6f} to {high:.6f} Eh</title>"
        f'<polyline fill="none" stroke="currentColor" points="{points}"/></svg>'
    )
