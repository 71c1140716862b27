"""What a run has found: the figures, what was violated, and how that reads."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kanad_server.load.checker import Violation
from kanad_server.load.conditions import Condition
from kanad_server.load.scenario import Scenario
from kanad_server.load.tally import LATENCIES, Tally

BUSY_PERCENT = 80.0
"""A client process above this measures itself as much as the server."""
CLOCK_TOLERANCE_S = 0.005

OK, FAULTS, CONDITION_HOLDS, INTERRUPTED = 0, 3, 4, 130
_SHOWN = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max"))


class ServerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The server's process, where it is ours: at the start, at its highest, at the end."""

    rss_mb: tuple[float, float, float]
    descriptors: tuple[int, int, int]
    threads: tuple[int, int, int]
    cpu_percent: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as ``--json`` writes it."""

    scenario: Scenario
    url: str
    server: dict[str, str]
    wall_s: float
    """How long the load lasted, without what was asked afterwards."""
    interrupted: bool
    metrics: dict[str, float | None]
    errors: dict[str, int]
    violations: list[Violation]
    conditions: list[str]
    """Those of ``--fail-if`` that hold, with the value seen."""
    client_cpu_percent: list[float]
    clock_offset_ms: float | None
    """How far the server's clock is from ours; null where they agree within what can be told."""
    server_process: ServerFigures | None = None

    @property
    def exit_code(self) -> int:
        """0; 3 for a broken promise or a lost experiment; 4 for a condition that holds; 130 after Ctrl-C."""
        if self.violations:
            return FAULTS
        if self.interrupted:
            return INTERRUPTED
        return CONDITION_HOLDS if self.conditions else OK


def make_report(
    scenario: Scenario,
    tally: Tally,
    conditions: list[Condition],
    *,
    url: str,
    server: dict[str, str],
    cpu_percent: list[float],
    interrupted: bool,
    server_process: ServerFigures | None,
) -> Report:
    """The report of what `tally` has counted."""
    metrics = tally.metrics(max(cpu_percent, default=0.0))
    return Report(
        scenario=scenario,
        url=url,
        server=server,
        wall_s=round(tally.load_s, 3),
        interrupted=interrupted,
        metrics=metrics,
        errors=dict(tally.errors),
        violations=tally.violations,
        conditions=[held for condition in conditions if (held := condition.holds(metrics)) is not None],
        client_cpu_percent=[round(value, 1) for value in cpu_percent],
        clock_offset_ms=clock_offset_ms(tally),
        server_process=server_process,
    )


def clock_offset_ms(tally: Tally) -> float | None:
    """How far the server's clock is ahead, where no single clock explains the times of the answers."""
    low, high = tally.offset_low_s, tally.offset_high_s
    if low > CLOCK_TOLERANCE_S and high > CLOCK_TOLERANCE_S:
        return 1000 * low
    if high < -CLOCK_TOLERANCE_S and low < -CLOCK_TOLERANCE_S:
        return 1000 * high
    return None


def show(metrics: dict[str, float | None], errors: dict[str, int]) -> Group:
    """The figures as tables: latencies, then counts."""
    parts: list[RenderableType] = [_latencies(metrics), _counts(metrics)]
    if errors:
        parts.append(Text("by code: " + ", ".join(f"{code} {count}" for code, count in sorted(errors.items()))))
    return Group(*parts)


def _latencies(metrics: dict[str, float | None]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("ms", no_wrap=True)
    table.add_column("what it is", no_wrap=True, style="dim")
    for _, title in _SHOWN:
        table.add_column(title, justify="right", no_wrap=True)
    for name, meaning in LATENCIES.items():
        values = [metrics[f"{name}_{short}_ms"] for short, _ in _SHOWN]
        if values[0] is not None:
            table.add_row(name, meaning, *("" if value is None else f"{value:.1f}" for value in values))
    return table


def _counts(metrics: dict[str, float | None]) -> Table:
    def count(name: str) -> str:
        return f"{metrics[name] or 0:.0f}"

    def rate(name: str) -> str:
        return f"{metrics[f'{name}_per_s'] or 0:.0f}/s"

    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_row(
        "experiments", f"{count('accepted')} accepted ({rate('accepted')})", f"{count('completed')} completed",
        f"{count('failed')} failed, {count('cancelled')} cancelled, {count('lost')} lost",
    )  # fmt: skip
    table.add_row(
        "lines", f"{count('connects')} opened", f"{count('cuts')} cut", f"{count('reconnects')} taken up again"
    )
    table.add_row(
        "events", f"{count('events')} ({rate('events')})", f"{count('replayed')} replayed",
        f"{count('frames')} frames ({rate('frames')})",
    )  # fmt: skip
    table.add_row(
        "checks", f"{count('gaps')} gaps, {count('duplicates')} duplicates, {count('reorders')} out of order",
        f"{count('violations')} violations", f"{count('checked_results')} energies compared",
    )  # fmt: skip
    table.add_row(
        "refusals", f"{count('refused')} (429, 503)", f"{count('errors')} errors",
        f"client at {metrics['client_cpu_percent'] or 0:.0f}% of a core",
    )  # fmt: skip
    return table


def notes(report: Report) -> list[str]:
    """What a reader has to know to trust the figures, or not to."""
    lines = []
    if report.metrics["client_cpu_percent"] is not None and report.metrics["client_cpu_percent"] > BUSY_PERCENT:
        lines.append(
            f"a client process used {report.metrics['client_cpu_percent']:.0f}% of a core: it may be the bottleneck;"
            " take more --procs or a lighter load"
        )
    if report.clock_offset_ms is not None:
        lines.append(
            f"the server's clock is {report.clock_offset_ms:+.0f} ms off this machine's: delivery is off by as much"
        )
    if report.server_process is not None:
        lines.append(_of_server(report.server_process))
    lines += [f"--fail-if {held}" for held in report.conditions]
    return lines


def _of_server(figures: ServerFigures) -> str:
    def run(values: tuple[Any, Any, Any]) -> str:
        return f"{values[0]:.0f}, at most {values[1]:.0f}, {values[2]:.0f} at the end"

    return (
        f"server: {figures.cpu_percent:.0f}% of a core; MB resident {run(figures.rss_mb)};"
        f" descriptors {run(figures.descriptors)}; threads {run(figures.threads)}"
    )
