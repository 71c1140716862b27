"""What the server counts about itself, in Prometheus' words."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from kanad_server.wire import Experiment

if TYPE_CHECKING:
    from kanad_server.connections import Connections
    from kanad_server.service import Service

SAMPLE_S = 0.1
STALLS_KEPT = 600
"""The largest stall is that of the last minute."""
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400)
RUN_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400)
STALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Counters and histograms of one server; `page` adds what is true at this moment."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._waits = Histogram(
            "kanad_queue_wait_seconds", "From acceptance to the first start", buckets=WAIT_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._runs = Histogram(
            "kanad_run_seconds", "From the start of the last attempt to the end", ["status"], buckets=RUN_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._stalls = Histogram(
            "kanad_loop_stall_seconds", "How late the event loop was, sampled ten times a second",
            buckets=STALL_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._recent_stalls: deque[float] = deque(maxlen=STALLS_KEPT)
        self.answers: Counter[int] = Counter()

    def status_changed(self, experiment: Experiment) -> None:
        """An experiment has a new status, which is committed."""
        if experiment.started_at is None:
            return
        if experiment.status == "running" and experiment.attempt == 1:
            self._waits.observe(_seconds(experiment.created_at, experiment.started_at))
        elif experiment.is_final and experiment.finished_at is not None:
            seconds = _seconds(experiment.started_at, experiment.finished_at)
            self._runs.labels(status=experiment.status).observe(seconds)

    async def sample_loop(self) -> None:
        """Measure how late the loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await asyncio.sleep(SAMPLE_S)
            stall = max(0.0, loop.time() - begun - SAMPLE_S)
            self._stalls.observe(stall)
            self._recent_stalls.append(stall)

    @property
    def largest_stall_s(self) -> float:
        """The largest stall of the last minute."""
        return max(self._recent_stalls, default=0.0)

    def page(
        self, service: Service, counts: dict[str, int], notices: int | None, connections: Connections | None
    ) -> bytes:
        """The text of a scrape; `notices` wait to arrive, None where the store cannot say."""
        now = CollectorRegistry()
        families = [*_experiments(service, counts), *_notices(service, notices), *self._http(service, connections)]
        now.register(_Now(families))
        return generate_latest(self._registry) + generate_latest(now)

    def _http(self, service: Service, connections: Connections | None) -> Iterable[Family]:
        answers = CounterMetricFamily("kanad_http_answers", "Answers", labels=["status"])
        for status, count in sorted(self.answers.items()):
            answers.add_metric([str(status)], count)
        refused = sum(count for status, count in self.answers.items() if 400 <= status < 500)
        yield answers
        yield CounterMetricFamily("kanad_refused_requests", "Requests answered 4xx", refused)
        yield CounterMetricFamily("kanad_refused_tokens", "Wrong tokens and tickets", service.gate.refused)
        yield GaugeMetricFamily("kanad_tasks", "Tasks of the event loop", len(asyncio.all_tasks()))
        yield GaugeMetricFamily("kanad_loop_stall_max_seconds", "Largest stall of a minute", self.largest_stall_s)
        if connections is not None:
            yield GaugeMetricFamily("kanad_connections", "Open connections", len(connections))
            yield CounterMetricFamily("kanad_connections_refused", "Connections without a place", connections.refused)
            yield CounterMetricFamily("kanad_connections_cut", "Connections that took too long", connections.cut)


Family = GaugeMetricFamily | CounterMetricFamily


class _Now(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        """What is true at this moment."""
        return self._families


def _experiments(service: Service, counts: dict[str, int]) -> Iterable[Family]:
    experiments = GaugeMetricFamily("kanad_experiments", "Stored experiments", labels=["status"])
    for status, count in counts.items():
        experiments.add_metric([status], count)
    slots = GaugeMetricFamily("kanad_slots", "Slots", labels=["state"])
    states = Counter(slot.view().state for slot in service.engine.slots)
    for state in ("starting", "idle", "running", "stopping"):
        slots.add_metric([state], states[state])
    engines = GaugeMetricFamily("kanad_engine_up", "Whether an engine can be reached", labels=["engine"])
    for engine in service.engine.view():
        engines.add_metric([engine.name], float(engine.state == "up"))
    journal = service.journal
    yield experiments
    yield slots
    yield engines
    yield GaugeMetricFamily("kanad_queue_length", "Waiting experiments", service.dispatch.queue_length)
    yield GaugeMetricFamily("kanad_viewers", "Connected viewers", service.hub.viewers)
    yield GaugeMetricFamily("kanad_viewer_lag_events", "Events the slowest viewer is behind", max(0, service.hub.lag))
    yield GaugeMetricFamily("kanad_disk_free_bytes", "Room at the data directory", _free(service.settings.data_path))
    yield GaugeMetricFamily("kanad_uncommitted_events", "Events on their way to the store", journal.uncommitted)
    yield GaugeMetricFamily("kanad_ready", "Whether the server can take work", float(not service.unready()))
    yield CounterMetricFamily("kanad_events", "Events published", journal.events_published)
    yield CounterMetricFamily("kanad_commits", "Transactions of the journal", journal.commits)


def _notices(service: Service, waiting: int | None) -> Iterable[Family]:
    tries = CounterMetricFamily(
        "kanad_notice_tries", "Tries to tell a webhook, by what came of them", labels=["outcome"]
    )
    sender = service.notifier
    for outcome, count in (("arrived", sender.sent), ("failed", sender.failed), ("given_up", sender.dropped)):
        tries.add_metric([outcome], count)
    yield tries
    if waiting is not None:
        yield GaugeMetricFamily("kanad_notices_waiting", "Notices that have not arrived yet", waiting)


def _free(data: Path) -> float:
    try:
        return float(shutil.disk_usage(data).free)
    except OSError:
        return 0.0


def _seconds(begin: str, end: str) -> float:
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
