"""A real server in a process of its own, as a test holds it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

LISTENING = "kanad-server listening on "
H2_ATOMS = [
    {"symbol": "H", "position_angstrom": [0.0, 0.0, 0.0]},
    {"symbol": "H", "position_angstrom": [0.0, 0.0, 0.7414]},
]
TLS = ssl.create_default_context()
"""Made once: httpx takes 70 ms to make one, for each client, though nothing here is encrypted."""
ENDED = ("completed", "failed", "cancelled")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In a process just forked: end it when the thread that started it ends, as where the tests are killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def probe(**options: Any) -> dict[str, Any]:
    """A spec that needs no chemistry."""
    limits = options.pop("limits", {"wall_s": 60, "memory_mb": 1024})
    name = options.pop("name", "")
    return {
        "name": name,
        "molecule": {"atoms": H2_ATOMS},
        "method": {"name": "probe", **options},
        "limits": limits,
    }


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """The first true value of `condition`; fails loudly after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s} s for {what}")


class Server:
    """``kanad serve`` on a free port, its log in a file (a full pipe would stop it)."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        data: Path | None = None,
        enable_probe: bool = True,
    ) -> None:
        """Start it; `prefix` is a command that runs it (strace, prlimit), `data` a directory elsewhere."""
        self.folder = folder
        self.data = data or folder / "data"
        self.ledger = folder / "ledger"
        self.sessions: list[int] = []
        self._options = ("--enable-probe", *options) if enable_probe else options
        self._environment = environment or {}
        self._prefix = prefix
        self.start()

    def start(self, port: int = 0) -> None:
        """Start it (again), on the same data directory, and wait until it listens."""
        started = time.monotonic()
        self.spawn(port)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(LISTENING), self.log()
        self.start_s = time.monotonic() - started
        self.url = line.removeprefix(LISTENING).strip()
        self.http = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False, verify=TLS)

    def spawn(self, port: int = 0) -> None:
        """Start it (again) without waiting."""
        self._log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "kanad_server", "serve", "--port", str(port),
             "--data-dir", str(self.data), *self._options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            # a thread of a test may well end before the server that it started
            preexec_fn=end_with_parent if threading.current_thread() is threading.main_thread() else None,
            env=os.environ | {"KANAD_PROBE_LEDGER": str(self.ledger)} | self._environment,
        )  # fmt: skip
        self.http = httpx.Client(trust_env=False, verify=TLS)
        self.sessions.append(self.process.pid)

    def ready(self) -> None:
        """Wait until it takes work."""
        wait_for(lambda: self.http.get("/health/ready").status_code == 200, "the server to be ready")

    def log(self) -> str:
        """What it has logged so far."""
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._release()

    def kill_traced(self) -> None:
        """kill -9 of the server behind a `prefix` that traces it."""
        for pid in self.session_processes():
            if pid != self.process.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._prefix = ()
        self._release()

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self._release()
        return code

    def _release(self) -> None:
        self.http.close()
        self._log.close()
        if self.process.stdout is not None:
            self.process.stdout.close()

    # What a client does

    def post(self, spec: dict[str, Any], **headers: str) -> dict[str, Any]:
        """Post a spec that must be accepted."""
        response = self.http.post("/api/v1/experiments", json=spec, headers=headers)
        assert response.status_code in (200, 201), response.text
        return dict(response.json())

    def get(self, experiment_id: str) -> dict[str, Any]:
        """The experiment as it is now."""
        response = self.http.get(f"/api/v1/experiments/{experiment_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def events(self, experiment_id: str) -> list[dict[str, Any]]:
        """Its whole log."""
        found: list[dict[str, Any]] = []
        while True:
            page = f"/api/v1/experiments/{experiment_id}/events?limit=10000&after={len(found)}"
            items = self.http.get(page).json()["items"]
            found += items
            if len(items) < 10_000:
                return found

    def result(self, experiment_id: str) -> dict[str, Any]:
        """Its result."""
        response = self.http.get(f"/api/v1/experiments/{experiment_id}/result")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def ended(self, experiment_id: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The experiment, once it has ended."""

        def look() -> dict[str, Any] | None:
            experiment = self.get(experiment_id)
            return experiment if experiment["status"] in ENDED else None

        return dict(wait_for(look, f"experiment {experiment_id} to end", timeout_s))

    def running(self, experiment_id: str, iteration: int = 1) -> None:
        """Wait until it runs and has reported `iteration`."""
        wait_for(
            lambda: (self.get(experiment_id)["progress"]["iteration"] or 0) >= iteration,
            f"experiment {experiment_id} to report",
        )

    def system(self) -> dict[str, Any]:
        """Slots and queue."""
        return dict(self.http.get("/api/v1/system").json())

    def worker_of(self, experiment_id: str) -> int:
        """The pid of the worker that runs an experiment."""

        def look() -> int | None:
            for slot in self.system()["slots"]:
                if slot["experiment_id"] == experiment_id:
                    return int(slot["pid"])
            return None

        return int(wait_for(look, "a worker"))

    def session_processes(self) -> list[int]:
        """Every process of the server's session that lives (zombies are not)."""
        return list(_processes_of_sessions({self.process.pid}))

    def all_processes(self) -> list[int]:
        """Every living process of every session that this server has had."""
        return list(_processes_of_sessions(set(self.sessions)))


def _processes_of_sessions(sessions: set[int]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) in sessions and fields[0] != "Z":
                yield int(entry.name)


def is_alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def body(value: object) -> bytes:
    """JSON as Python writes it, NaN and all."""
    return json.dumps(value).encode()
