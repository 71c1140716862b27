"""One worker process with its pipe, its cancel flag and its directory, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import select
import shutil
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from kanad_server.engines import forkserver, worker
from kanad_server.engines.outcomes import Outcomes

WORN_MB = 1_024
"""A worker that has kept more than this from its last attempt is replaced; picked, not measured."""
STATM_BYTES = 256


class _Context(ForkServerContext):
    """What the executor makes its parts with: the one process, which is remembered, and the way back."""

    process: forkserver.Process | None = None

    def __init__(self) -> None:
        super().__init__()
        self.outcomes = Outcomes()

    def SimpleQueue(self) -> Outcomes:  # type: ignore[override]  # noqa: N802
        """The way back of the executor."""
        return self.outcomes

    def Process(self, *args: Any, **kwargs: Any) -> forkserver.Process:  # type: ignore[override]  # noqa: N802
        """Make a process and remember it."""
        self.process = forkserver.Process(*args, **kwargs)
        return self.process


class WorkerProcess:
    """A `ProcessPoolExecutor` of one, the reading end of its pipe, and its flag: used and thrown away together."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._directory = tempfile.mkdtemp(dir=scratch)
        self._context = _Context()
        self._pidfd: int | None = None
        self._statm: int | None = None
        self.cancel_flag = RawValue("b", 0)
        self.reader, self._writer = multiprocessing.Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(
            1,
            mp_context=self._context,
            initializer=worker.start,
            initargs=(self._writer, self.cancel_flag, self._directory),
        )

    def launch(self) -> None:
        """Start the process (blocking: the forkserver answers once PySCF is loaded)."""
        forkserver.start(str(self._scratch))  # again, where it was killed: by itself it would inherit our environment
        with forkserver.launching, forkserver.without_main_module():
            ready = self.executor.submit(os.getpid)
        pid = ready.result()
        self._pidfd = os.pidfd_open(pid)
        self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
        # Only the worker may hold the other ends: its death is then the end of the files, and nobody waits to write.
        self._writer.close()
        self._context.outcomes.close_writer()
        self.executor._call_queue._reader.close()  # type: ignore[attr-defined]  # the executor itself does it too late
        os.set_blocking(self.reader.fileno(), False)

    @property
    def pid(self) -> int | None:
        """The process id; None before `launch`."""
        return None if self._context.process is None else self._context.process.pid

    @property
    def death(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        assert self._pidfd is not None, "it was never launched"
        return self._pidfd

    def has_unread(self) -> bool:
        """Whether something is in the pipe, or whoever could write has gone."""
        poll = select.poll()
        poll.register(self.reader.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def held_mb(self) -> float:
        """The memory that it holds now; 0 for one that is gone. Asked at each attempt: the file stays open."""
        if self._statm is None:
            return 0.0
        try:
            pages = int(os.pread(self._statm, STATM_BYTES, 0).split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def is_worn(self) -> bool:
        """Whether the process has kept so much memory that a new one is better."""
        return self.held_mb() > WORN_MB

    def is_alive(self) -> bool:
        """Whether the process was launched and has not ended."""
        if self._pidfd is None:
            return False
        ends = select.poll()
        ends.register(self._pidfd, select.POLLIN)
        return not ends.poll(0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, through a descriptor that can never mean another process."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> int | None:
        """Make sure that the process is gone, and free what it had (blocking).

        Returns its exit code, negative for a signal; None where it never ran.
        """
        self.signal(signal.SIGKILL)
        self.executor.shutdown(wait=True, cancel_futures=True)
        self._context.outcomes.close()
        self.reader.close()
        self._writer.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None
        shutil.rmtree(self._directory, ignore_errors=True)
        process, self._context.process = self._context.process, None
        if process is None:
            return None
        code = process.exitcode
        process.close()  # its descriptors would wait for the collector of garbage
        return code


def cores() -> int:
    """The cores that processes of this machine may use."""
    return len(os.sched_getaffinity(0))


async def launched(scratch: Path) -> WorkerProcess:
    """A process that runs; nothing is left behind where it does not come up."""
    process = WorkerProcess(scratch)
    try:
        await asyncio.to_thread(process.launch)
    except BaseException:
        await asyncio.to_thread(process.close)
        raise
    return process


def usage(pid: int) -> tuple[float | None, float | None]:
    """(CPU seconds, resident megabytes) of a process; None for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None, None
    ticks = int(stat[11]) + int(stat[12])
    pages = int(stat[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20
