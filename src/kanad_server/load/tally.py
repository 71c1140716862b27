"""What a run counts and times; tallies of several processes add up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import msgspec
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped, unused-ignore]  # no py.typed

from kanad_server.load.checker import Violation

LATENCIES = {
    "submit": "post intended to 201",
    "service": "post sent to 201",
    "queue_wait": "queued to running",
    "e2e": "post intended to terminal event",
    "connect": "viewer intended to connected",
    "resume": "line cut to first missed event",
    "delivery": "event's time to received",
}
"""Each latency and what it is between."""
COUNTS = (
    "due", "posted", "accepted", "refused", "completed", "failed", "cancelled", "lost", "connects", "cuts",
    "reconnects", "frames", "events", "replayed", "checked_results", "violations", "gaps", "duplicates", "reorders",
    "errors",
)  # fmt: skip
FAULT_COUNTS = {"gap": "gaps", "duplicate": "duplicates", "reorder": "reorders"}
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
MAX_VIOLATIONS = 1000
"""Kept for the report; all are counted."""

_LONGEST_US = 3_600_000_000


def _histogram() -> HdrHistogram:
    """Microseconds, three significant digits."""
    return HdrHistogram(1, _LONGEST_US, 3)


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """A tally as it travels between processes."""

    counts: dict[str, int]
    errors: dict[str, int]
    histograms: dict[str, bytes]
    violations: list[Violation]
    offset_low_s: float
    offset_high_s: float
    load_s: float


class Tally:
    """Counts, errors by code, latencies, and what was violated."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.histograms = {name: _histogram() for name in LATENCIES}
        self.violations: list[Violation] = []
        self.offset_low_s = float("-inf")
        self.offset_high_s = float("inf")
        self._load_s = 0.0
        self._began: float | None = None

    def begin(self) -> None:
        """The load begins."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """The load has ended; what follows are questions."""
        self._load_s, self._began = self.load_s, None

    @property
    def load_s(self) -> float:
        """How long the load has lasted so far."""
        return self._load_s if self._began is None else time.perf_counter() - self._began

    def record(self, latency: str, seconds: float) -> None:
        """One value; what is below a microsecond or above an hour is taken as that."""
        self.histograms[latency].record_value(min(max(round(seconds * 1e6), 1), _LONGEST_US))

    def fault(self, found: Iterable[Violation]) -> None:
        """Count what a check has found."""
        for violation in found:
            self.counts["violations"] += 1
            if violation.fault in FAULT_COUNTS:
                self.counts[FAULT_COUNTS[violation.fault]] += 1
            if len(self.violations) < MAX_VIOLATIONS:
                self.violations.append(violation)
                self.found(violation)

    def found(self, violation: Violation) -> None:
        """For who wants to know at once."""

    def error(self, code: str) -> None:
        """Count a failure by its code."""
        self.counts["errors"] += 1
        self.errors[code] += 1

    def refusal(self, code: str) -> None:
        """Count a 429 or 503: the server had too much to do, which is no error."""
        self.counts["refused"] += 1
        self.errors[code] += 1

    def clock(self, stamp_s: float, before_s: float, after_s: float) -> None:
        """The server's clock said `stamp_s` at some moment between our `before_s` and `after_s`."""
        self.offset_low_s = max(self.offset_low_s, stamp_s - after_s)
        self.offset_high_s = min(self.offset_high_s, stamp_s - before_s)

    def snapshot(self) -> Snapshot:
        """All of it, to be sent."""
        return Snapshot(
            counts=dict(self.counts),
            errors=dict(self.errors),
            histograms={name: h.encode() for name, h in self.histograms.items() if h.get_total_count()},
            violations=self.violations,
            offset_low_s=self.offset_low_s,
            offset_high_s=self.offset_high_s,
            load_s=self.load_s,
        )

    def add(self, other: Snapshot) -> None:
        """Add what another process has counted."""
        self.counts.update(other.counts)
        self.errors.update(other.errors)
        for name, encoded in other.histograms.items():
            self.histograms[name].decode_and_add(encoded)
        self.violations += other.violations[: MAX_VIOLATIONS - len(self.violations)]
        self.offset_low_s = max(self.offset_low_s, other.offset_low_s)
        self.offset_high_s = min(self.offset_high_s, other.offset_high_s)
        self._load_s = max(self._load_s, other.load_s)

    def metrics(self, cpu_percent: float) -> dict[str, float | None]:
        """Every figure by its name; None for a percentile of nothing."""
        figures: dict[str, float | None] = {name: float(self.counts[name]) for name in COUNTS}
        for name, histogram in self.histograms.items():
            figures |= _latency_metrics(name, histogram)
        for name in ("events", "frames", "accepted", "completed"):
            figures[f"{name}_per_s"] = self.counts[name] / self.load_s if self.load_s > 0 else None
        figures["client_cpu_percent"] = cpu_percent
        return figures


def _latency_metrics(name: str, histogram: HdrHistogram) -> dict[str, float | None]:
    values: dict[str, float | None] = {f"{name}_{short}_ms": None for short in (*PERCENTILES, "mean", "max")}
    if histogram.get_total_count():
        for short, percentile in PERCENTILES.items():
            values[f"{name}_{short}_ms"] = histogram.get_value_at_percentile(percentile) / 1000
        values[f"{name}_mean_ms"] = histogram.get_mean_value() / 1000
        values[f"{name}_max_ms"] = histogram.get_max_value() / 1000
    return values


def metric_names() -> list[str]:
    """The names that a condition can use."""
    return sorted(Tally().metrics(0.0))
