"""``kanad load``: options in, a live view, a table and an exit code out."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from kanad_server.cli.main import app
from kanad_server.cli.options import DEFAULT_URL, UncheckedUrl

if TYPE_CHECKING:
    from rich.live import Live

    from kanad_server.load.checker import Violation
    from kanad_server.load.conditions import Condition
    from kanad_server.load.conductor import Progress
    from kanad_server.load.poster import Address
    from kanad_server.load.report import Report
    from kanad_server.load.scenario import Scenario

PLAIN_EVERY_S = 2.0
SHOWN_VIOLATIONS = 50


@app.command()
def load(
    scenario: Annotated[str, typer.Argument(help="submit, fanout, churn, mixed, or a .toml file.")] = "mixed",
    url: UncheckedUrl = DEFAULT_URL,
    token: Annotated[str | None, typer.Option(envvar="KANAD_TOKEN", help="Sent as a bearer token.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Start a server for this run.")] = False,
    slots: Annotated[int, typer.Option(min=1, max=64, help="Slots of the private server.")] = 2,
    restart_at: Annotated[
        float | None, typer.Option(min=0, help="Kill the private server (-9) after so many seconds; start it again.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Experiments that arrive in a second.")] = None,
    arrivals: Annotated[str | None, typer.Option(help="poisson or constant.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of load.")] = None,
    grace: Annotated[float | None, typer.Option(help="Seconds after that, before what has not ended is lost.")] = None,
    experiments: Annotated[int | None, typer.Option(help="Experiments posted first, to be watched.")] = None,
    viewers: Annotated[int | None, typer.Option(help="Viewers on those; in submit, on each that arrives.")] = None,
    connect_rate: Annotated[float | None, typer.Option(help="Viewers that connect in a second.")] = None,
    cut_rate: Annotated[float | None, typer.Option(help="Lines that are cut in a second.")] = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="probe, or a method to run on H2.")] = None,
    steps: Annotated[int | None, typer.Option(help="Events of a probe.")] = None,
    step_ms: Annotated[float | None, typer.Option(help="Milliseconds between two of them.")] = None,
    payload_bytes: Annotated[int | None, typer.Option(help="With each a log event of so many bytes.")] = None,
    connections: Annotated[int | None, typer.Option(help="Requests in flight at most, in each process.")] = None,
    way: Annotated[str | None, typer.Option(help="How viewers watch: json, msgpack, stream or sse.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of arrivals and cuts.")] = None,
    procs: Annotated[int, typer.Option(help="Client processes.")] = 1,
    fail_if: Annotated[
        list[str] | None, typer.Option("--fail-if", help="Exit with 4 when it holds, as 'e2e_p99_ms>40'; repeatable.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report here; - is standard output.")
    ] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="List what --fail-if knows, and end.")] = False,
) -> None:
    """Load a server and check every stream.

    Exit codes: 0 all held; 1 not run; 2 bad scenario; 3 a promise was broken or an experiment lost; 4 a --fail-if
    holds; 130 Ctrl-C.
    """
    from kanad_server.load.errors import BadScenario, LoadError
    from kanad_server.load.poster import parse_address
    from kanad_server.load.scenario import read_scenario

    try:
        from kanad_server.load.conditions import parse_condition
        from kanad_server.load.tally import metric_names
    except ModuleNotFoundError as error:
        print(f"kanad load: {error.name} is missing; pip install 'kanad-server[load]'", file=sys.stderr)
        raise typer.Exit(1) from None
    try:
        if metrics:
            print("\n".join(metric_names()))
            return
        conditions = [parse_condition(text) for text in fail_if or []]
        if restart_at is not None and not private:
            raise BadScenario("--restart-at kills the server: it needs --private")
        wanted = read_scenario(
            scenario, rate=rate, arrivals=arrivals, duration_s=duration, grace_s=grace, experiments=experiments,
            viewers=viewers, connect_rate=connect_rate, cut_rate=cut_rate, method=method, steps=steps, step_ms=step_ms,
            payload_bytes=payload_bytes, connections=connections, way=way, seed=seed,
        )  # fmt: skip
        address = parse_address(url, token)
        code = asyncio.run(_run(wanted, address, conditions, procs, slots if private else None, restart_at, json_file))
    except LoadError as error:
        print(f"kanad load: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, BadScenario) else 1) from None
    raise typer.Exit(code)


async def _run(
    scenario: Scenario,
    address: Address,
    conditions: list[Condition],
    procs: int,
    slots: int | None,
    restart_at_s: float | None,
    json_file: Path | None,
) -> int:
    from kanad_server.load.conductor import conduct
    from kanad_server.load.poster import parse_address
    from kanad_server.load.private import private_server

    in_pipe = json_file == Path("-")
    view = _View(on_stderr=in_pipe)
    async with private_server(slots) if slots else nullcontext() as private:
        with view:
            report = await conduct(
                scenario,
                parse_address(private.url) if private else address,
                procs=procs,
                conditions=conditions,
                private=private,
                restart_at_s=restart_at_s,
                on_violation=view.violation,
                on_progress=view.progress,
            )
    view.end(report)
    if in_pipe:
        print(msgspec.json.encode(report).decode())
    elif json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return report.exit_code


class _View:
    """A live table in a terminal, a line now and then elsewhere."""

    def __init__(self, *, on_stderr: bool) -> None:
        from rich.console import Console

        stream = sys.stderr if on_stderr else sys.stdout
        self._console = Console(stderr=on_stderr, width=None if stream.isatty() else 110)
        self._live: Live | None = None
        self._said_at = 0.0
        self._shown = 0

    def __enter__(self) -> None:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def violation(self, violation: Violation) -> None:
        """Say at once what was broken; the report has all of them."""
        self._shown += 1
        if self._shown <= SHOWN_VIOLATIONS:
            self._console.print(f"VIOLATION {violation}", markup=False, highlight=False, soft_wrap=True)
        elif self._shown == SHOWN_VIOLATIONS + 1:
            self._console.print("more violations follow; --json FILE keeps them", markup=False)

    def progress(self, progress: Progress) -> None:
        """How it goes."""
        from rich.console import Group
        from rich.text import Text

        from kanad_server.load.report import BUSY_PERCENT, show

        busiest = max(progress.cpu_percent, default=0.0)
        figures = progress.tally.metrics(busiest)
        busy = " (the client is the bottleneck)" if busiest > BUSY_PERCENT else ""
        cpu = "client " + " ".join(f"{value:.0f}%" for value in progress.cpu_percent) + busy
        if self._live is not None:
            head = Text(f"{progress.elapsed_s:.0f} s   {cpu}", style="bold")
            self._live.update(Group(head, show(figures, dict(progress.tally.errors))))
        elif progress.elapsed_s - self._said_at >= PLAIN_EVERY_S:
            self._said_at = progress.elapsed_s
            self._console.print(
                f"{progress.elapsed_s:.0f} s: {_count(figures, 'accepted')} accepted, {_count(figures, 'completed')}"
                f" completed, {_count(figures, 'events')} events, {_count(figures, 'violations')} violations,"
                f" {_count(figures, 'refused')} refused, {_count(figures, 'errors')} errors; {cpu}",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    def end(self, report: Report) -> None:
        """The final table."""
        from kanad_server.load.report import notes, show

        self._console.print(show(report.metrics, report.errors))
        for line in notes(report):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _count(figures: dict[str, float | None], name: str) -> str:
    return f"{figures[name] or 0:.0f}"
