"""What commands print: plain lines where the output is piped, tables and a live view in a terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kanad_server.cli.chart import chart
from kanad_server.wire import (
    Convergence,
    Estimate,
    Event,
    Experiment,
    Geometry,
    Log,
    MethodPage,
    Point,
    Result,
    Stage,
    State,
    Status,
    Thinned,
)  # fmt: skip
from kanad_solvers.spec import name_of

WHOLE = 100_000
"""The width of an output that is no terminal: nothing in it is cut or folded."""
out = Console(width=None if sys.stdout.isatty() else WHOLE)
err = Console(stderr=True)
CHART_WIDTH, CHART_HEIGHT = 64, 10
MAX_POINTS = 10_000
STEPS = ("points of the scan", "steps of the geometry")
"""Series whose every entry is a whole calculation: they are charted in place of what converges within one."""
COLUMNS = ("id", "name", "method", "status", "energy / Eh", "created")
NAME_WIDTH = 8
"""The least that a list gives to names, which it folds."""


def as_json(value: object) -> None:
    """Print a value as one line of JSON."""
    print(msgspec.json.encode(value).decode())


def line_of(event: Event) -> str:
    """An event in one plain line."""
    match event:
        case Status(status=status, progress=percent):
            return f"status {status}, progress {percent:g}"
        case Stage(stage=stage, last_stage=last, message=message, energy_hartree=energy):
            return f"stage {stage}/{last} {message}" + ("" if energy is None else f" {energy:.8f} Eh")
        case Convergence(series=series, iteration=iteration, energy_hartree=energy):
            return f"{series} {iteration} {energy:.8f} Eh"
        case State(index=index, energy_hartree=energy):
            return f"state {index} {energy:.8f} Eh"
        case Geometry(step=step, energy_hartree=energy, max_gradient=gradient):
            slope = "" if gradient is None else f", largest gradient {gradient:.2e} Eh/bohr"
            return f"geometry {step} {energy:.8f} Eh{slope}"
        case Point(index=index, value=value, energy_hartree=energy):
            return f"point {index} {value:g} {energy:.8f} Eh"
        case Log(level=level, message=message):
            return f"{level}: {message}"
        case Thinned(first_seq=first, seq=last):
            return f"events {first} to {last} were taken out of this old log"


class View:
    """One experiment as it runs: state, stage, energy, and the chart of its series."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._percent = 0.0
        self._words = "waiting"
        self._series = ""
        self._values: list[float] = []
        self._notes: list[str] = []
        self._since = time.monotonic()

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Status(status=status, progress=percent):
                self._percent, self._words = percent, status
            case Stage(stage=stage, last_stage=last, message=message):
                self._percent = max(self._percent, 100 * (stage + 1) / (last + 1))
                self._words = f"{stage}/{last} {message}"
            case Convergence(series=series, energy_hartree=energy):
                if self._series not in STEPS:
                    self._add(series, energy)
            case Point(energy_hartree=energy):
                self._add(STEPS[0], energy)
            case Geometry(energy_hartree=energy):
                self._add(STEPS[1], energy)
            case Log(message=message):
                self._notes = [*self._notes, message][-3:]
            case State() | Thinned():
                pass

    def _add(self, series: str, energy: float) -> None:
        if series != self._series:
            self._series, self._values = series, []
        self._values = [*self._values, energy][-MAX_POINTS:]

    def __rich__(self) -> Group:
        """The view as rich draws it."""
        seconds = time.monotonic() - self._since
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self._title, style="bold"), ProgressBar(100, self._percent, width=24), f"{self._percent:3.0f}%",
            Text(self._words), f"{seconds:.0f} s",
        )  # fmt: skip
        parts: list[Any] = [head]
        if self._values:
            energy = f"{self._series} {len(self._values)}   E = {self._values[-1]:.8f} Eh"
            parts.append(Text(energy))
        if len(self._values) > 1:
            width = max(20, min(CHART_WIDTH, out.width - 18))
            parts.append(Text("\n".join(chart(self._values, width, CHART_HEIGHT)), style="cyan", no_wrap=True))
        parts += [Text(note, style="dim") for note in self._notes]
        return Group(*parts)


class Bars:
    """Several experiments as they run: a bar for each."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            console=out,
        )

    def add(self, title: str) -> TaskID:
        """A bar."""
        return self.progress.add_task(title, total=100, words="waiting")

    def take(self, bar: TaskID, event: Event) -> None:
        """Show an event on its bar."""
        match event:
            case Status(status=status, progress=percent):
                self.progress.update(bar, completed=percent, words=status)
            case Stage(stage=stage, last_stage=last, message=message):
                self.progress.update(bar, completed=100 * (stage + 1) / (last + 1), words=f"{stage}/{last} {message}")
            case Convergence(series=series, iteration=iteration, energy_hartree=energy):
                self.progress.update(bar, words=f"{series} {iteration}  E = {energy:.8f} Eh")
            case _:
                pass


def failed(experiment: Experiment) -> None:
    """Say how an experiment ended without a result."""
    error = experiment.error
    words = experiment.status if error is None else f"{experiment.status}: {error.code}: {error.message}"
    err.print(f"experiment {experiment.id} {words}", markup=False, highlight=False)


def label_of(item: Experiment) -> str:
    """The name of an experiment; where it has none, what its molecule was given as."""
    molecule = item.spec.molecule
    counts = sorted(Counter(atom.symbol for atom in molecule.atoms or ()).items())
    formula = "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts)
    text = "FCIDUMP" if molecule.fcidump is not None else "XYZ"
    return item.name or molecule.library or molecule.smiles or formula or text


def experiments(items: list[Experiment]) -> None:
    """A table of experiments; where there are none, a word beside its head."""
    if not items:
        err.print("there are none", highlight=False)
    rows = [
        {
            "id": item.id, "name": label_of(item), "method": name_of(item.spec.method), "status": item.status,
            "energy / Eh": "" if item.energy_hartree is None else f"{item.energy_hartree:.8f}",
            "created": item.created_at,
        }
        for item in items
    ]  # fmt: skip
    for left_out in (
        (),
        ("created",),
        ("created", "method"),
    ):  # the narrower the terminal, the fewer columns, all whole
        table = _list(rows, [name for name in COLUMNS if name not in left_out])
        if _fits(table):
            out.print(table)
            return
    for row in rows:
        lines = [f"{name}: {cell}" for name, cell in row.items() if cell]
        out.print(*lines, "", sep="\n", soft_wrap=True, markup=False, highlight=False)


def _list(rows: list[dict[str, str]], columns: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name != "name", overflow="fold", min_width=NAME_WIDTH * (name == "name"))
    for row in rows:
        table.add_row(*(Text(row[name]) for name in columns))
    return table


def experiment(item: Experiment) -> None:
    """One experiment, without its result."""
    table = _pairs()
    table.add_row("experiment", item.id)
    if item.name:
        table.add_row("name", Text(item.name))
    table.add_row("status", item.status)
    table.add_row("method", f"{name_of(item.spec.method)}/{item.spec.basis}, {name_of(item.spec.task)}")
    if item.tags:
        table.add_row("tags", Text(", ".join(item.tags)))
    table.add_row("attempt", str(item.attempt))
    table.add_row("progress", f"{item.progress.percent:g}%")
    for name, at in (("created", item.created_at), ("started", item.started_at), ("finished", item.finished_at)):
        if at is not None:
            table.add_row(name, at)
    if item.queue_position is not None:
        table.add_row("place in line", str(item.queue_position))
    if item.error is not None:
        table.add_row("error", Text(f"{item.error.code}: {item.error.message}"))
    _print_pairs(table)


def result(item: Experiment, found: Result, title: str | None = None) -> None:
    """A result: energies, properties, states."""
    table = _pairs(title=title or item.name or None)
    table.add_row("experiment", item.id)
    table.add_row("energy", f"{found.energy_hartree:.8f} Eh")
    table.add_row("converged", "yes" if found.converged else "no")
    for name, value in found.components.items():
        table.add_row(name.removesuffix("_hartree").replace("_", " "), f"{value:.8f} Eh")
    for name, value in found.comparisons.items():
        if f"{name}_hartree" not in found.components:
            table.add_row(f"{name}, for comparison", f"{value:.8f} Eh")
    if found.properties is not None and found.properties.dipole_debye is not None:
        norm = sum(value**2 for value in found.properties.dipole_debye) ** 0.5
        table.add_row("dipole", f"{norm:.4f} D")
    if found.provenance is not None:
        table.add_row("solver time", f"{found.provenance.wall_s:.3f} s")
    _print_pairs(table)
    if found.states:
        states = Table("state", "energy / Eh", "excitation / eV", "f", "S^2", box=None, pad_edge=False)
        for state in found.states:
            numbers = (state.excitation_ev, state.oscillator_strength, state.s_squared)
            cells = ("" if value is None else f"{value:.4f}" for value in numbers)
            states.add_row(str(state.index), f"{state.energy_hartree:.8f}", *cells)
        out.print(states)
    if found.scan is not None:
        curve = Table(found.scan.type, "energy / Eh", box=None, pad_edge=False)
        for value, energy in zip(found.scan.values, found.scan.energies_hartree, strict=True):
            curve.add_row(f"{value:g}", "" if energy is None else f"{energy:.8f}")
        out.print(curve)
    if found.frequencies is not None:
        wavenumbers = Table("wavenumber / cm-1", box=None, pad_edge=False)
        for value in found.frequencies.wavenumbers_cm:
            wavenumbers.add_row(f"{value:.1f}")
        out.print(wavenumbers)
    for warning in found.warnings:
        out.print(f"note: {warning}", markup=False, highlight=False)


def estimate(found: Estimate) -> None:
    """A price."""
    table = _pairs()
    table.add_row("feasible", "yes" if found.feasible else f"no: {found.reason}")
    table.add_row("basis functions", str(found.basis_functions))
    for name, value in (("determinants", found.determinants), ("qubits", found.qubits)):
        if value is not None:
            table.add_row(name, str(value))
    table.add_row("memory", f"{found.memory_mb:.0f} MB")
    table.add_row("time", f"{duration(found.seconds[0])} to {duration(found.seconds[1])}")
    if found.suggestion:
        table.add_row("suggestion", found.suggestion)
    _print_pairs(table)


def duration(seconds: float) -> str:
    """A time to two digits, in the unit that people would say it in."""
    value, unit = next(
        ((seconds / size, unit) for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")) if seconds >= 2 * size),
        (seconds, "s"),
    )
    return f"{float(f'{value:.2g}'):g} {unit}"


def methods(page: MethodPage) -> None:
    """Every method with its tasks."""
    table = Table("method", "what it is", "tasks", box=None, pad_edge=False)
    for method in page.methods:
        table.add_row(Text(method.name), method.title, ", ".join(method.tasks))
    out.print(table)


def options(title: str, schema: dict[str, Any]) -> None:
    """The options of a method or task, with defaults."""
    out.print(title, markup=False, highlight=False)
    table = Table("option", "values", "default", box=None, pad_edge=False)
    for name, described in schema.get("properties", {}).items():
        table.add_row(name, Text(_values(described)), Text(msgspec.json.encode(described.get("default")).decode()))
    out.print(table)


def _values(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_values(inner) for inner in schema["anyOf"])
    low, high = (schema.get(name, schema.get(f"exclusiveM{name[1:]}")) for name in ("minimum", "maximum"))
    span = "" if low is None and high is None else f" from {low} to {high}"
    return f"{schema.get('type', 'object')}{span}"


def _fits(table: Table) -> bool:
    """Whether a table fits the terminal with every cell whole."""
    return out.measure(table, options=out.options.update(max_width=WHOLE)).minimum <= out.width


def _print_pairs(table: Table) -> None:
    """Names and values side by side; each a line of its own, which the terminal wraps, where that is too wide."""
    if _fits(table):
        out.print(table)
        return
    if table.title is not None:
        out.print(str(table.title), soft_wrap=True, markup=False, highlight=False)
    names, values = (list(column.cells) for column in table.columns)
    for name, value in zip(names, values, strict=True):
        out.print(f"{name}: {value}", soft_wrap=True, markup=False, highlight=False)


def _pairs(title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    return table
