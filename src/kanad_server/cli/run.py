"""What ``kanad run`` and its like do with a server: watch an experiment and show its result."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from kanad_server.client import Client, Run, Unreachable
from kanad_server.client.local import private_server
from kanad_server.wire import Convergence, Event, Experiment, Log, Result, Stage, Status

_out = Console()
_err = Console(stderr=True)


async def run_and_watch(spec: dict[str, Any], url: str, *, as_json: bool, output: Path | None) -> bool:
    """Submit `spec`, show its progress and its result; says whether it completed."""
    async with _some_server(url) as found, Client(found) as client:
        run = await client.submit(spec)
        return await _watch(client, run, as_json=as_json, output=output)


async def watch_existing(experiment_id: str, url: str, *, as_json: bool) -> bool:
    """Show an experiment from its first event on."""
    async with Client(url) as client:
        return await _watch(client, await client.run(experiment_id), as_json=as_json, output=None)


async def cancel_existing(experiment_id: str, url: str) -> str:
    """End an experiment; returns its status then."""
    async with Client(url) as client:
        return (await client.cancel(experiment_id)).status


async def print_list(url: str, *, status: str | None, limit: int, as_json: bool) -> None:
    """Show the newest experiments."""
    filters: dict[str, Any] = {} if status is None else {"status": status}
    items: list[Experiment] = []
    async with Client(url) as client:
        async for experiment in client.experiments(limit=min(limit, 200), **filters):
            items.append(experiment)
            if len(items) >= limit:
                break
    if as_json:
        print(msgspec.json.encode(items).decode())
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=36)  # whole: it is what the other commands take
    for column in ("name", "method", "status", "energy / Eh", "created"):
        table.add_column(column)
    for item in items:
        energy = "" if item.energy_hartree is None else f"{item.energy_hartree:.8f}"
        method = str(item.spec.method.__struct_config__.tag)
        table.add_row(item.id, item.name, method, item.status, energy, item.created_at)
    _out.print(table)


async def _watch(client: Client, run: Run, *, as_json: bool, output: Path | None) -> bool:
    quiet = as_json or not sys.stdout.isatty()
    with _bar(disable=quiet) as bar:
        task = bar.add_task(run.experiment.name or run.id, total=100, stage="waiting", figures="")
        async for event in run.events():
            if not quiet:
                _show(bar, task, event)
            elif not as_json:
                _say(event)
    experiment = await run.refresh()
    if experiment.status != "completed":
        error = experiment.error
        words = experiment.status if error is None else f"{experiment.status}: {error.code}: {error.message}"
        _err.print(f"experiment {experiment.id} {words}", markup=False, highlight=False)
        return False
    result = await client.result(run.id)
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        _print_result(experiment, result)
    return True


def _bar(*, disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[stage]}", markup=False),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        console=_out,
        disable=disable,
    )


def _show(bar: Progress, task: TaskID, event: Event) -> None:
    match event:
        case Status(status=status, progress=percent):
            bar.update(task, completed=percent, stage=status)
        case Stage(stage=stage, last_stage=last, message=message):
            percent = 100 if stage == last else 100 * (stage + 1) / (last + 1)
            bar.update(task, completed=percent, stage=f"{stage}/{last} {message}")
            if event.energy_hartree is not None:
                bar.update(task, figures=f"E = {event.energy_hartree:.8f} Eh")
        case Convergence(series=series, iteration=iteration, energy_hartree=energy):
            bar.update(task, figures=f"{series} {iteration}  E = {energy:.8f} Eh")
        case Log(message=message):
            bar.console.print(message, markup=False, highlight=False)
        case _:
            pass


def _say(event: Event) -> None:
    """One plain line for each event, where the output is not a terminal."""
    match event:
        case Status(status=status, progress=percent):
            print(f"status {status}, progress {percent:g}")
        case Stage(stage=stage, last_stage=last, message=message, energy_hartree=energy):
            print(f"stage {stage}/{last} {message}" + ("" if energy is None else f" {energy:.8f} Eh"))
        case Convergence(series=series, iteration=iteration, energy_hartree=energy):
            print(f"{series} {iteration} {energy:.8f} Eh")
        case Log(level=level, message=message):
            print(f"{level}: {message}")
        case _:
            pass


def _print_result(experiment: Experiment, result: Result) -> None:
    table = Table(title=experiment.name or None, box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("experiment", experiment.id)
    table.add_row("energy", f"{result.energy_hartree:.8f} Eh")
    table.add_row("converged", "yes" if result.converged else "no")
    for name, value in result.components.items():
        table.add_row(name.removesuffix("_hartree").replace("_", " "), f"{value:.8f} Eh")
    for name, value in result.comparisons.items():
        if f"{name}_hartree" not in result.components:
            table.add_row(f"{name}, for comparison", f"{value:.8f} Eh")
    if result.properties is not None and result.properties.dipole_debye is not None:
        norm = sum(value**2 for value in result.properties.dipole_debye) ** 0.5
        table.add_row("dipole", f"{norm:.4f} D")
    if result.provenance is not None:
        table.add_row("solver time", f"{result.provenance.wall_s:.3f} s")
    _out.print(table)
    if result.states:
        states = Table("state", "energy / Eh", "excitation / eV", "f", "S^2", box=None, pad_edge=False)
        for state in result.states:
            states.add_row(
                str(state.index),
                f"{state.energy_hartree:.8f}",
                *(
                    "" if value is None else f"{value:.4f}"
                    for value in (state.excitation_ev, state.oscillator_strength, state.s_squared)
                ),
            )
        _out.print(states)
    for warning in result.warnings:
        _out.print(f"note: {warning}", markup=False, highlight=False)


@asynccontextmanager
async def _some_server(url: str) -> AsyncIterator[str]:
    """The server at `url`, or a private one with a store of its own that goes with it."""
    async with Client(url) as client:
        try:
            await client.system()
        except Unreachable:
            found = None
        else:
            found = url
    if found is not None:
        yield found
        return
    _err.print("no server is running; starting a private one for this run", highlight=False)
    async with private_server(slots=1) as private:
        yield private
