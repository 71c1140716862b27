"""A scheduler and workers in processes of their own, started by Dask's own commands, as a user starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.server import wait_for

DASK = str(Path(sys.executable).with_name("dask"))
PRELOAD = ("--preload", "kanad_server.engines.dask_preload")


class Cluster:
    """What has been started is ended at the end, each process by its own pid; `options` are those of every part."""

    def __init__(self, folder: Path, *options: str, protocol: str = "tcp") -> None:
        self.folder, self._options = folder, ("--protocol", protocol, *options)
        self.ledger = folder / "ledger"
        self.port = free_port()
        self.address = f"{protocol}://127.0.0.1:{self.port}"
        self.engine = f"dask://127.0.0.1:{self.port}"
        self.scheduler = self.start_scheduler()
        self.workers: list[subprocess.Popen[bytes]] = []
        self._plain: list[subprocess.Popen[bytes]] = []
        self._names: dict[int, str] = {}

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start it (again), on the same port, and wait until it listens."""
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", ":0"
        )
        wait_for(lambda: listens(self.port), "the scheduler to listen")
        return self.scheduler

    def add_worker(
        self, *options: str, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """A worker without a nanny, so that its pid is that of the process which runs attempts."""
        worker = self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "1", "--memory-limit", "4GiB", "--no-dashboard",
            "--host", "127.0.0.1", "--name", f"w{len(self._names)}", "--local-directory", str(self.folder), *options,
            environment=environment, prefix=prefix,
        )  # fmt: skip
        self._names[worker.pid] = f"w{len(self._names)}"
        self.workers.append(worker)
        return worker

    def slot(self, worker: subprocess.Popen[bytes], number: int = 0) -> str:
        """The name of a worker's slot."""
        return f"{self._names[worker.pid]}-{number}"

    def mend(self, count: int) -> None:
        """Have a scheduler and so many sound workers, and no others, whatever a test has done to them."""
        is_there = self.scheduler.poll() is None  # workers end with their scheduler
        kept = [worker for worker in self._plain[:count] if is_there and worker.poll() is None]
        end([worker for worker in self.workers if worker not in kept])
        self.workers = kept
        if not is_there:
            self.start_scheduler()
        while len(self.workers) < count:
            self.add_worker(*PRELOAD)
        self._plain = list(self.workers)
        wanted = {self._names[worker.pid] for worker in self.workers}
        wait_for(lambda: self._joined() == wanted, "the workers to join", 60)

    def joined(self, worker: subprocess.Popen[bytes]) -> None:
        """Wait until the scheduler has it."""
        wait_for(lambda: self._names[worker.pid] in self._joined(), "the worker to join", 60)

    def _joined(self) -> set[str]:
        with self._client() as client:
            return {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}

    def _client(self) -> Any:
        from distributed import Client

        return Client(self.address, set_as_default=False, timeout=10)  # type: ignore[no-untyped-call]  # half typed

    def left(self) -> list[str]:
        """What servers have here: pinned attempts, and tasks that a worker has."""
        with self._client() as client:
            tasks = [key for keys in client.processing().values() for key in keys]
            return [*map(str, client.list_datasets()), *map(str, tasks)]

    def topics(self) -> list[str]:
        """Those of which the scheduler keeps events."""
        with self._client() as client:
            return list(client.get_events())

    def known(self) -> list[str]:
        """Who the scheduler thinks wants something of it: clients, and names of what is published or has ever been."""

        def look(dask_scheduler: Any) -> list[str]:
            return list(dask_scheduler.clients)

        with self._client() as client:
            return list(client.run_on_scheduler(look))

    def _start(
        self, kind: str, *options: str, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, DASK, kind, *options, *self._options], stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"KANAD_PROBE_LEDGER": str(self.ledger)} | (environment or {}),
            )  # fmt: skip

    def log(self) -> str:
        """What all of it has logged so far."""
        return (self.folder / "log").read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end([*self.workers, self.scheduler])


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """SIGTERM, and SIGKILL for one that does not hear it."""
    for process in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
