"""A server under faults, and the witness of what it was asked and what it answered.

The witness (`calls`, `accepted`, `views`) is kept by the clients alone. `finish` holds the server against it: whatever
was accepted has ended, once; numbers run without a gap; nothing that had ended changed; nothing lives on.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.faults.scale import SEED, within
from tests.support.checks import check_log
from tests.support.server import ENDED, TLS, Server, wait_for
from tests.support.server import probe as shared_probe

T = TypeVar("T")
API = "/api/v1/experiments"
LEGAL = {("queued", "running"), ("running", "queued"), ("queued", "cancelled"), ("queued", "failed")} | {
    ("running", end) for end in ENDED
}
LEAK = re.compile(r"Traceback \(most recent|File \"[^\"]+\", line \d+|/site-packages/")
FD_SLACK = 5
RSS_SLACK_MB = 50.0


def probe(**options: Any) -> dict[str, Any]:
    """A probe that runs anew even where an identical one has ended."""
    return shared_probe(**options) | {"fresh": True}


@dataclass(frozen=True)
class Call:
    """One request and what came of it; `status` 0 stands for a connection that failed."""

    method: str
    path: str
    key: str | None
    at: float
    took_s: float
    status: int
    body: str
    retry_after: str | None = None

    @property
    def is_bad(self) -> bool:
        """A fault of the server's own, or words that are not meant for people."""
        is_excused = self.status in (503, 507) and self.retry_after is not None
        return (self.status >= 500 and not is_excused) or LEAK.search(self.body) is not None


@dataclass
class Baseline:
    """What the server process holds."""

    fds: int
    rss_mb: float


@dataclass
class Witness:
    """What clients know; written by many threads (list and dict operations are atomic)."""

    calls: list[Call] = field(default_factory=list)
    accepted: dict[str, str | None] = field(default_factory=dict)
    ids_of_key: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    ends: dict[str, tuple[str, int]] = field(default_factory=dict)
    changed_ends: list[str] = field(default_factory=list)

    def saw(self, experiment: dict[str, Any]) -> None:
        """An answer showed an experiment: an end never changes (nobody here retries)."""
        if experiment.get("status") in ENDED:
            seen = (experiment["status"], experiment["attempt"])
            if self.ends.setdefault(experiment["id"], seen) != seen:
                self.changed_ends.append(experiment["id"])


class World:
    """A server, its clients and their witness."""

    def __init__(self, folder: Path, *options: str, scenario: str = "", **more: Any) -> None:
        self.random = random.Random(f"{SEED}:{scenario}")
        self.witness = Witness()
        self._local = threading.local()
        self._clients: list[httpx.Client] = []
        self.server = Server(folder, *options, **more)
        self.server.ready()
        self.port = int(self.server.url.rpartition(":")[2])
        self.baseline = self._warm()

    # Requests

    def call(
        self, method: str, path: str, *, json: object = None, key: str | None = None, timeout_s: float = 30.0
    ) -> Call:
        """One request, remembered whatever comes of it."""
        headers = {} if key is None else {"Idempotency-Key": key}
        began = time.monotonic()
        try:
            answer = self._http().request(method, self.server.url + path, json=json, headers=headers, timeout=timeout_s)
        except httpx.HTTPError as error:
            self._local.http.close()
            del self._local.http
            call = Call(method, path, key, began, time.monotonic() - began, 0, repr(error))
        else:
            took = time.monotonic() - began
            call = Call(
                method, path, key, began, took, answer.status_code, answer.text, answer.headers.get("retry-after")
            )
            self._remember(call, answer)
        self.witness.calls.append(call)
        return call

    def submit(self, spec: dict[str, Any], *, key: str | None = None, patience_s: float = 60.0) -> str:
        """Post until it is accepted, with the same key each time; returns the id."""
        deadline = time.monotonic() + patience_s
        while True:
            call = self.call("POST", API, json=spec, key=key)
            if call.status in (200, 201):
                return str(httpx.Response(200, text=call.body).json()["id"])
            assert call.status in (0, 429, 503, 507), (call.status, call.body)
            assert key is not None or call.status, "without a key a cut connection must not be tried again"
            assert time.monotonic() < deadline, "never accepted"
            time.sleep(0.05)

    def submit_all(self, specs: Iterable[dict[str, Any]], *, clients: int = 8, keys: str = "key") -> list[str]:
        """Post many from several clients, each with a key of its own."""
        return self.in_threads(
            lambda numbered: self.submit(numbered[1], key=f"{keys}-{numbered[0]}"), list(enumerate(specs)), clients
        )

    def get(self, experiment_id: str) -> dict[str, Any]:
        """The experiment as it is now."""
        call = self.call("GET", f"{API}/{experiment_id}")
        assert call.status == 200, (call.status, call.body)
        return dict(httpx.Response(200, text=call.body).json())

    def ended(self, experiment_id: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The experiment, once it has ended."""

        def look() -> dict[str, Any] | None:
            experiment = self.get(experiment_id)
            return experiment if experiment["status"] in ENDED else None

        return dict(wait_for(look, f"experiment {experiment_id} to end", timeout_s))

    def in_threads(self, work: Callable[[Any], T], items: Iterable[Any], threads: int) -> list[T]:
        """`work` over items, by several clients at a time."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))

    # The server

    def restart(self) -> float:
        """Start again on the same port; returns the seconds until it takes work."""
        began = time.monotonic()
        self.server.start(self.port)
        self.server.ready()
        took = time.monotonic() - began
        self.baseline = self._warm()
        return took

    def holds(self) -> Baseline:
        """File descriptors and memory of the server process."""
        pid = self.server.process.pid
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Baseline(len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def slots(self) -> list[dict[str, Any]]:
        """The slots as the server shows them."""
        return list(self.server.system()["slots"])

    def busy_workers(self) -> dict[str, int]:
        """The pid of the worker of each running experiment."""
        return {slot["experiment_id"]: slot["pid"] for slot in self.slots() if slot["experiment_id"] and slot["pid"]}

    def metric(self, name: str) -> float | None:
        """A figure of /metrics without labels; None where there is none of this name."""
        text = self.server.http.get("/metrics").text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return None if found is None else float(found[1])

    def stream(self, experiment_id: str) -> str:
        """The address of an experiment's stream."""
        return f"{self.server.url.replace('http', 'ws', 1)}{API}/{experiment_id}/stream"

    def deaf_viewer(self, experiment_id: str) -> socket.socket:
        """A viewer that asks for everything and reads nothing."""
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", self.port))
        deaf.sendall(
            f"GET {API}/{experiment_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return deaf

    def ledger(self) -> list[tuple[str, str, int, int]]:
        """(start or end, experiment, attempt, pid) of every attempt that a probe began."""
        text = self.server.ledger.read_text() if self.server.ledger.exists() else ""
        rows = [line.split() for line in text.splitlines()]
        return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

    # The reckoning

    def finish(self, deadline_s: float = 120.0) -> dict[str, Any]:
        """Wait for every accepted experiment, hold the server against the witness, and end it."""
        if self.server.process.poll() is not None:
            self.restart()
        self._wait_for_ends(deadline_s)
        witness = self.witness
        logs = {experiment_id: self.server.events(experiment_id) for experiment_id in witness.accepted}
        illegal = sum(map(_illegal_steps, logs.values()))
        double = sum(_ends_of(log) != 1 for log in logs.values())
        double += sum(len(ids) > 1 for ids in witness.ids_of_key.values()) + len(witness.changed_ends)
        figures = self._resources()
        code = self.server.stop()
        zombies = self._zombies()
        bad = [call for call in witness.calls if call.is_bad]
        self._check_store()
        assert code == 0, self.server.log()[-4000:]
        assert not bad, bad[:3]
        assert (double, illegal, zombies) == (0, 0, 0)
        return figures | {
            "accepted": len(logs), "lost": 0, "duplicates": double, "illegal": illegal, "zombies": zombies,
            "bad_answers": len(bad),
        }  # fmt: skip

    def abandon(self) -> None:
        """End whatever is left, without questions."""
        if self.server.process.poll() is None:
            self.server.kill()
        for pid in self.server.all_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _wait_for_ends(self, deadline_s: float) -> None:
        left = set(self.witness.accepted)

        def look() -> bool:
            for experiment_id in list(left):
                if self.get(experiment_id)["status"] not in ENDED:
                    return False
                left.discard(experiment_id)
            return True

        wait_for(look, "everything accepted to end", deadline_s)

    def _resources(self) -> dict[str, Any]:
        """Descriptors and memory against the baseline, and the longest stall where the server tells it."""
        for client in self._clients:
            client.close()

        def is_back() -> bool:
            return self.holds().fds <= self.baseline.fds + FD_SLACK

        wait_for(is_back, f"{self.holds()} to fall back to {self.baseline}", within(10.0))
        grown = self.holds().rss_mb - self.baseline.rss_mb
        assert grown <= RSS_SLACK_MB, f"the server grew by {grown:.0f} MB"
        figures: dict[str, Any] = {"grown_mb": round(grown, 1)}
        stall = self.metric("kanad_loop_stall_max_seconds")
        if stall is not None:
            figures["stall_ms"] = round(1000 * stall)
        return figures

    def _zombies(self) -> int:
        try:
            wait_for(lambda: not self.server.all_processes(), "every process to end", 5.0)
        except AssertionError:
            return len(self.server.all_processes())
        return 0

    def _check_store(self) -> None:
        with sqlite3.connect(self.server.data / "kanad.sqlite") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            completed = connection.execute("SELECT count(*) FROM experiments WHERE status = 'completed'").fetchone()
            assert connection.execute("SELECT count(*) FROM results").fetchone() == completed
            stored = {row[0] for row in connection.execute("SELECT id FROM experiments")}
        connection.close()
        assert set(self.witness.accepted) <= stored

    def _http(self) -> httpx.Client:
        if not hasattr(self._local, "http"):
            self._local.http = httpx.Client(trust_env=False, verify=TLS)
            self._clients.append(self._local.http)
        client: httpx.Client = self._local.http
        return client

    def _warm(self) -> Baseline:
        """What the server holds once every slot is up and the desk has answered."""
        spec = probe(name=str(self.random.random()))
        assert self.server.http.post("/api/v1/estimate", json=spec).status_code == 200
        wait_for(lambda: all(slot["pid"] for slot in self.slots()), "every slot to be up")
        return self.holds()

    def _remember(self, call: Call, answer: httpx.Response) -> None:
        if answer.status_code not in (200, 201, 202) or "json" not in answer.headers.get("content-type", ""):
            return
        shown = answer.json()
        if not isinstance(shown, dict) or "id" not in shown:
            return
        self.witness.saw(shown)
        if call.method == "POST" and call.path == API:
            self.witness.accepted[shown["id"]] = call.key
            if call.key is not None:
                self.witness.ids_of_key[call.key].add(shown["id"])


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _illegal_steps(log: list[dict[str, Any]]) -> int:
    """Numbers with gaps or falling attempts fail at once; returns how many steps no life cycle has."""
    check_log(log)
    states = [event["status"] for event in log if event["type"] == "status"]
    return sum(step not in LEGAL for step in pairwise(states))


def _ends_of(log: list[dict[str, Any]]) -> int:
    return sum(event["type"] == "status" and event["status"] in ENDED for event in log)
