"""What ``kanad run`` and ``kanad watch`` do: submit, follow, and say what came of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.live import Live

from kanad_server.cli import show
from kanad_server.cli.options import Server
from kanad_server.client import Client, ClientError, Run, Unreachable
from kanad_server.client.local import private_server
from kanad_server.wire import Result

INTERRUPTED = 130


async def run_all(
    specs: list[dict[str, Any]], titles: list[str], server: Server, *, as_json: bool, output: Path | None,
    no_wait: bool,
) -> int:  # fmt: skip
    """Submit and follow; returns the exit code."""
    async with _some_server(server, may_start=not no_wait) as (client, is_private):
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
    return report(runs, outcomes, titles, as_json=as_json)


async def _outcome(client: Client, run: Run) -> Result | None:
    await run.refresh()
    return await client.result(run.id) if run.status == "completed" else None


def report(runs: list[Run], outcomes: list[Result | None], titles: list[str], *, as_json: bool) -> int:
    """Print what came of each run; one alone as its result, several as a line of JSON each. Returns the exit code."""
    for run, outcome, title in zip(runs, outcomes, titles, strict=True):
        if as_json and len(runs) > 1:
            error = run.experiment.error
            show.as_json({"id": run.id, "status": run.status, "error": error, "result": outcome})
        elif outcome is None:
            show.failed(run.experiment)
        elif as_json:
            show.as_json(outcome)
        else:
            show.result(run.experiment, outcome, title if len(runs) > 1 else None)
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
async def _some_server(server: Server, *, may_start: bool) -> AsyncIterator[tuple[Client, bool]]:
    """A client of the server, or of a private one with a store of its own that goes with it."""
    async with Client(server.url, server.token) as client:
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
