"""What runs on a worker of a Dask cluster: each attempt in a child process, watched by one thread of the worker.

The thread forwards what the child reports, and ends the child when the scheduler does not want its result any more (a
cancel, a deadline, a server that has gone), or when the worker goes down. The child dies with the worker.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import resource
import select
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from kanad_server import files
from kanad_server.engines import frames, messages, remote, verdicts, worker
from kanad_server.engines.process import WorkerProcess, usage

MEMORY, THREADS = "memory_mb", "threads"
"""The Dask resources that attempts ask for."""
LOOK_S = 0.05
"""How often a thread looks whether its attempt is still wanted."""
FLUSH_S = 0.02
"""Batches of one attempt are at least so far apart."""
USAGE_S = 2.0
CANCEL_GRACE_S = 0.5
"""From the cancel flag to SIGKILL: a callback of a small solver still sees the flag."""
LATE_S = 30.0
"""The server ends an attempt at its deadline; so much later the worker does it by itself."""
RETURN_S = 5.0
READ_BYTES = 64 * 1024
MIN_OPEN_FILES = 256
DISTRIBUTIONS = ("kanad-server", "pyscf", "numpy", "scipy", "distributed")
"""Server and workers must have the same of each: the numbers come from them, and what is said is understood by them."""

_encode_spec = msgspec.json.Encoder().encode
_no_children = threading.Lock()
_idle: list[WorkerProcess] = []


@cache
def examine() -> dict[str, str]:
    """The versions that decide whether this process may run attempts."""
    found = {}
    for distribution in DISTRIBUTIONS:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[distribution] = "missing"
    return found


def faults() -> tuple[str, ...]:
    """What keeps this process from running attempts."""
    found = []
    if importlib.util.find_spec("pyscf") is None:
        found.append("PySCF is not installed")
    found += _unfit()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < MIN_OPEN_FILES:
        found.append(f"ulimit -n is {soft}, and at least {MIN_OPEN_FILES} are needed")
    return tuple(found)


def _unfit() -> list[str]:
    """What is installed here in a version that kanad-server does not take."""
    from packaging.requirements import Requirement  # distributed needs it too

    found, versions = [], examine()
    for wanted in map(Requirement, metadata.requires("kanad-server") or ()):
        version = versions.get(wanted.name, "missing")
        is_ours = wanted.name in versions and (wanted.marker is None or wanted.marker.evaluate({"extra": "dask"}))
        if is_ours and version != "missing" and version not in wanted.specifier:
            found.append(f"{wanted.name} is {version}, and kanad-server needs {wanted.specifier}: install that")
    return found


def resources(dask_worker: Any) -> dict[str, float]:
    """What a Dask worker has for attempts, where its owner has not said otherwise."""
    limit = dask_worker.memory_manager.memory_limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = {MEMORY: float(limit // 2**20), THREADS: float(dask_worker.state.nthreads)}
    return own | dict(dask_worker.state.total_resources)


async def offer(dask_worker: Any) -> bytes:
    """Make the worker ready, tell the scheduler what it has, and describe it."""
    multiprocessing.current_process().daemon = False  # Dask's nanny starts workers that may not have children
    has = resources(dask_worker)
    await dask_worker.set_resources(**has)
    return remote.encode(
        remote.Description(
            versions=examine(),
            slots=dask_worker.state.nthreads,
            memory_mb=int(has[MEMORY]),
            threads=int(has[THREADS]),
            faults=faults(),
            local_directory=str(dask_worker.local_directory),
        )
    )


def run(order: bytes) -> bytes:
    """Run one attempt; reports go to the order's topic, and what is returned is an encoded `Ended`.

    Raises:
        RuntimeError: Dask has started it a second time, on another worker at the address of the first.
    """
    from distributed import get_worker

    dask_worker, decoded = get_worker(), remote.decode_order(order)
    if decoded.local_directory != dask_worker.local_directory:
        raise RuntimeError(f"meant for the worker of {decoded.local_directory}, not of {dask_worker.local_directory}")
    return _Watch(dask_worker, str(dask_worker.get_current_task()), decoded).run()


def warm(count: int, scratch: Path) -> None:
    """Start children ahead of the first attempts; they work below `scratch`."""
    for process in [_take(scratch) for _ in range(count)]:
        _put_back(process)


def close() -> None:
    """End the idle children."""
    with _no_children:
        idle, _idle[:] = list(_idle), []
    for process in idle:
        process.close()


def _take(scratch: Path) -> WorkerProcess:
    """A child without work: an idle one, or a new one."""
    with _no_children:
        if _idle:
            return _idle.pop()
    process = WorkerProcess(scratch)
    try:
        process.launch()
    except BaseException:
        process.close()
        raise
    return process


def _put_back(process: WorkerProcess) -> None:
    if process.is_worn():
        process.close()
        return
    with _no_children:
        _idle.append(process)


class _Watch:
    """One attempt and the thread that watches it."""

    def __init__(self, dask_worker: Any, key: str, order: remote.Order) -> None:
        self._worker, self._key, self._order = dask_worker, key, order
        # The worker removes it at its end, and where it is killed the next one that starts there does.
        self._scratch = Path(dask_worker.local_directory)
        self._count = 0
        self._waiting: list[bytes] = []
        self._flushed_at = 0.0
        self._told_usage_at = 0.0
        self._deadline = time.monotonic() + order.spec.limits.wall_s + LATE_S
        self._cancelled_at: float | None = None
        self._bound_mb = float("inf")
        self._is_too_heavy = False

    def run(self) -> bytes:
        """To the end of the attempt."""
        process, returned, directory = self._start()
        self._bound_mb = process.held_mb() + self._order.spec.limits.memory_mb
        end, death = None, None
        try:
            end = self._listen(process)
            if end is not None:
                returned.result(RETURN_S)
                _put_back(process)
        except (frames.BrokenFrame, msgspec.MsgspecError):
            death = verdicts.BROKEN_PROTOCOL.error
        except (BrokenProcessPool, TimeoutError):  # the result is there, the child is not what it was
            pass
        finally:
            if end is None or not returned.done() or returned.exception() is not None:
                exit_code = process.close()
                death = death or verdicts.death(exit_code)
        if end is None and self._is_too_heavy:
            end = messages.encode(messages.Failed(worker.out_of_memory(self._order.spec.limits.memory_mb)))
        self._flush(process, is_over=True)
        ended = remote.Ended(
            run=self._order.run,
            count=self._count,
            end=end,
            death=None if end is not None else death,
            orbitals=_orbitals(directory, self._order.experiment_id),
        )
        if self._order.directory is None:
            shutil.rmtree(directory, ignore_errors=True)
        return remote.encode(ended)

    def _start(self) -> tuple[WorkerProcess, Future[None], Path]:
        """Hand the work to a child that lives."""
        order = self._order
        directory = self._directory()
        keeping = worker.Keeping(str(directory), order.checkpoint_s)
        for _ in range(3):
            process = _take(self._scratch)
            process.cancel_flag.value = 0
            try:
                spec = _encode_spec(order.spec)
                future = process.executor.submit(worker.run, spec, order.experiment_id, order.attempt, keeping)
                return process, future, directory
            except BrokenProcessPool:  # it died while idle
                process.close()
        raise BrokenProcessPool("new child processes die before their first attempt")

    def _directory(self) -> Path:
        """Where the attempt keeps what outlives it: shared by all workers, or its own."""
        shared = self._order.directory
        if shared is not None and os.access(shared, os.W_OK):
            return Path(shared)
        return Path(tempfile.mkdtemp(prefix="attempt-", dir=self._scratch))

    def _listen(self, process: WorkerProcess) -> bytes | None:
        """Forward what the child says, to its end marker; None when it has died or was killed."""
        assembler = frames.Assembler(remote.MAX_MESSAGE_BYTES)
        poll = select.poll()
        poll.register(process.reader.fileno(), select.POLLIN)
        while True:
            if poll.poll(1000 * (FLUSH_S if self._waiting else LOOK_S)):
                data = os.read(process.reader.fileno(), READ_BYTES)
                if not data:
                    return None
                for message in assembler.feed(data):
                    if not isinstance(messages.decode(message), messages.Report | messages.Trouble):
                        return message
                    self._waiting.append(message)
                    if sum(map(len, self._waiting)) > remote.MAX_BATCH_BYTES:
                        self._flush(process)
            if self._waiting and time.monotonic() - self._flushed_at >= FLUSH_S:
                self._flush(process)
            if time.monotonic() - self._told_usage_at >= USAGE_S:
                self._flush(process)
            self._look(process)

    def _look(self, process: WorkerProcess) -> None:
        """End the child when it holds too much, or is not wanted any more: by the flag first, soon by force."""
        now = time.monotonic()
        if process.held_mb() > self._bound_mb:
            self._is_too_heavy = True
            process.signal(signal.SIGKILL)
        if self._cancelled_at is None:
            if self._is_wanted() and now < self._deadline:
                return
            self._cancelled_at = now
            process.cancel_flag.value = 1
        elif now - self._cancelled_at > CANCEL_GRACE_S:
            process.signal(signal.SIGKILL)

    def _is_wanted(self) -> bool:
        """Whether the worker serves, and the scheduler has not told it to forget the task."""
        task = self._worker.state.tasks.get(self._key)
        return task is not None and task.state == "executing" and self._worker.status.name in ("running", "paused")

    def _flush(self, process: WorkerProcess, *, is_over: bool = False) -> None:
        """Send what waits; now and then with what the child takes."""
        now = time.monotonic()
        pid = cpu_s = memory_mb = None
        if now - self._told_usage_at >= USAGE_S and not is_over:
            self._told_usage_at = now
            pid = process.pid
            cpu_s, memory_mb = (None, None) if pid is None else usage(pid)
        waiting, self._waiting = tuple(self._waiting), []
        batch = remote.Batch(
            run=self._order.run,
            first=self._count + 1,
            messages=waiting,
            pid=pid,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
            is_over=is_over,
        )
        self._count += len(waiting)
        self._flushed_at = now
        self._worker.log_event(self._order.topic, remote.encode(batch))


def _orbitals(directory: Path, experiment_id: str) -> bytes | None:
    path = files.orbitals(directory, experiment_id)
    try:
        if path.stat().st_size > remote.MAX_ORBITALS_BYTES:
            return None
        kept = path.read_bytes()
        path.unlink()
    except OSError:
        return None
    return kept
