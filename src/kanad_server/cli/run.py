"""``kanad run``: submit, watch, show; and what it shares with ``kanad watch``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.live import Live

from kanad_server.cli import options, show, words
from kanad_server.client import Client, ClientError, Run, Unreachable
from kanad_server.client.local import private_server
from kanad_server.wire import Result

INTERRUPTED = 130


def run(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A file (.xyz .pdb .sdf .mol .fcidump; QCSchema or a spec, .json .toml), a library name, or SMILES.",
        ),
    ],
    method: options.Method = None,
    basis: options.Basis = None,
    task: options.Task = None,
    charge: options.Charge = None,
    multiplicity: options.Multiplicity = None,
    option: options.MethodOption = None,
    task_option: options.TaskOption = None,
    n_states: Annotated[
        int | None, typer.Option(help="States: of the task excited_states, else of the method.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the method.")] = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="The nuclear gradient too (task energy).")] = False,
    active_space: options.ActiveSpace = None,
    solvent: Annotated[str | None, typer.Option(help="MODEL[:NAME], such as cpcm:ethanol [no solvent].")] = None,
    cartesian: Annotated[bool, typer.Option("--cartesian", help="Cartesian d and f functions.")] = False,
    wall_s: Annotated[float | None, typer.Option(help="End an attempt after so many seconds [3600].")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Memory that an attempt may use [4096].")] = None,
    priority: Annotated[int | None, typer.Option(help="-100 to 100; higher ones go first [0].")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the experiment [the file's name].")] = None,
    notify: Annotated[
        list[str] | None, typer.Option(help="An address to tell when it has ended; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run anew where an identical one exists.")] = False,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    as_json: options.AsJson = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write the result as JSON here (a folder, for several sources).")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit, print the ids, and leave.")] = False,
) -> None:
    """Run experiments and watch them. Without a server at --url, a private one is started for the run.

    Exit codes: 0 all completed; 1 one failed, was cancelled or refused, or no server; 2 not understood; 130 Ctrl-C.
    """
    chosen = [*(option or []), *([] if seed is None else [f"seed={seed}"])]
    wanted = [*(task_option or []), *(["gradient=true"] if gradient else [])]
    if n_states is not None:
        (wanted if task == "excited_states" else chosen).append(f"n_states={n_states}")
    limits = {key: value for key, value in (("wall_s", wall_s), ("memory_mb", memory_mb)) if value is not None}
    specs = [
        words.spec_of(
            source, method=method, basis=basis, task=task, charge=charge, multiplicity=multiplicity, options=chosen,
            task_options=wanted, active_space=active_space, solvent=words.solvent(solvent), tags=tag,
            cartesian=cartesian or None, limits=limits or None, priority=priority, fresh=fresh or None, name=name,
            notify=[{"url": url} for url in notify] if notify else None,
        )
        for source in sources
    ]  # fmt: skip
    titles = [spec.get("name") or Path(source).name[:40] for source, spec in zip(sources, specs, strict=True)]
    code = asyncio.run(_run(specs, titles, url, token, as_json=as_json, output=output, no_wait=no_wait))
    raise typer.Exit(code)


async def _run(
    specs: list[dict[str, Any]], titles: list[str], url: str, token: str | None, *, as_json: bool,
    output: Path | None, no_wait: bool,
) -> int:  # fmt: skip
    async with _some_server(url, token, may_start=not no_wait) as (client, is_private):
        runs = [await client.submit(spec) for spec in specs]
        if no_wait:
            for run in runs:
                show.as_json(run.experiment) if as_json else print(run.id)
            return 0
        try:
            await follow(runs, titles, quiet=as_json)
        except asyncio.CancelledError:
            await _interrupted(runs, is_private=is_private)
            return INTERRUPTED
        outcomes = [await _outcome(client, run) for run in runs]
    _keep(output, titles, runs, outcomes)
    return report(runs, outcomes, as_json=as_json)


async def _outcome(client: Client, run: Run) -> Result | None:
    await run.refresh()
    return await client.result(run.id) if run.status == "completed" else None


def report(runs: list[Run], outcomes: list[Result | None], *, as_json: bool) -> int:
    """Print what came of each run; one alone as its result, several as a line of JSON each. Returns the exit code."""
    for run, outcome in zip(runs, outcomes, strict=True):
        if as_json and len(runs) > 1:
            error = run.experiment.error
            show.as_json({"id": run.id, "status": run.status, "error": error, "result": outcome})
        elif outcome is None:
            show.failed(run.experiment)
        elif as_json:
            show.as_json(outcome)
        else:
            show.result(run.experiment, outcome)
    return 0 if all(outcome is not None for outcome in outcomes) else 1


async def follow(runs: list[Run], titles: list[str], *, quiet: bool) -> None:
    """Show runs until all have ended: plain lines where piped, else a chart for one and bars for several."""
    if quiet:
        await asyncio.gather(*(run.ended() for run in runs))
    elif not sys.stdout.isatty():
        prefixes = [f"{title}: " if len(runs) > 1 else "" for title in titles]
        await asyncio.gather(*(_say(run, prefix) for run, prefix in zip(runs, prefixes, strict=True)))
    elif len(runs) == 1:
        view = show.View(titles[0])
        with Live(view, console=show.out, refresh_per_second=8):
            async for event in runs[0].events():
                view.take(event)
    else:
        bars = show.Bars()
        with bars.progress:
            await asyncio.gather(*(_bar(bars, run, title) for run, title in zip(runs, titles, strict=True)))


async def _say(run: Run, prefix: str) -> None:
    async for event in run.events():
        print(prefix + show.line_of(event), flush=True)


async def _bar(bars: show.Bars, run: Run, title: str) -> None:
    bar = bars.add(title)
    async for event in run.events():
        bars.take(bar, event)


async def _interrupted(runs: list[Run], *, is_private: bool) -> None:
    """Ctrl-C: ask whether to cancel. A private server goes with the command, and so do its runs."""
    if is_private:
        return
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if _wants_cancel():
        for run in runs:
            await run.cancel()
        show.err.print("cancelled", highlight=False)
    else:
        for run in runs:
            show.err.print(f"left running; kanad watch {run.id}", highlight=False, soft_wrap=True)


def _wants_cancel() -> bool:
    if not sys.stdin.isatty():
        return False
    show.err.print("\n[c]ancel, or [l]eave running? ", markup=False, highlight=False, end="")
    try:
        return input().strip().lower().startswith("c")
    except (EOFError, KeyboardInterrupt):
        return False


def _keep(output: Path | None, titles: list[str], runs: list[Run], outcomes: list[Result | None]) -> None:
    if output is None:
        return
    if len(runs) > 1:
        output.mkdir(parents=True, exist_ok=True)
    for run, title, outcome in zip(runs, titles, outcomes, strict=True):
        if outcome is not None:
            stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in title)
            target = output if len(runs) == 1 else output / f"{stem}-{run.id[-6:]}.json"
            target.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))


@asynccontextmanager
async def _some_server(url: str, token: str | None, *, may_start: bool) -> AsyncIterator[tuple[Client, bool]]:
    """A client of the server at `url`, or of a private one with a store of its own that goes with it."""
    async with Client(url, token) as client:
        try:
            await client.system()
        except Unreachable:
            if not may_start:
                raise
        except ClientError:
            yield client, False  # it answers; what is asked next says what is wrong
            return
        else:
            yield client, False
            return
    show.err.print("no server is running; starting a private one for this run", highlight=False)
    async with private_server(slots=1) as private, Client(private) as client:
        yield client, True
