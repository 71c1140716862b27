"""What runs inside a worker process: one attempt after another, reports out through the slot's pipe.

The process is made by forkserver with PySCF loaded. It never outlives the server, does not
handle SIGTERM in Python (the default action ends even a loop in C), and has an empty directory of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from kanad_server import files
from kanad_server.engines import frames, messages
from kanad_server.wire import Error, Reported
from kanad_solvers.errors import Cancelled, SolverError
from kanad_solvers.memory import Memory
from kanad_solvers.progress import Convergence, Log, Progress
from kanad_solvers.result import Result
from kanad_solvers.spec import Probe, Spec

NICENESS = 10
EVENTS_PER_S = 50
UNTOUCHED_MB = 3_300
"""Address space beyond the grant, for each thread: PySCF's direct Fock builds reserve two arrays of 1.6 GB and touch
little of them. What an attempt holds in memory is bounded by its slot."""
MAX_LOG_CHARACTERS = 2_000
MAX_TRACEBACK_CHARACTERS = 6_000

_writer: Connection
_cancel_flag: Any
_last_words: Any
_granted_mb: int | None = None
"""What the running attempt may take."""
_decode_spec = msgspec.json.Decoder(Spec).decode


def start(writer: Connection, cancel_flag: Any, directory: str) -> None:
    """Initializer of the process: bind it to its parent, its pipe, its flag and its directory."""
    global _writer, _cancel_flag
    _die_with_server()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the server decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICENESS)
    os.chdir(directory)
    os.environ["TMPDIR"] = os.environ["PYSCF_TMPDIR"] = directory
    os.dup2(2, 1)  # a library that prints must not reach the server's standard output
    _writer, _cancel_flag = writer, cancel_flag
    _speak_before_exit()


class Keeping(NamedTuple):
    """Where attempts keep what outlives them: a directory, and the seconds between two checkpoints."""

    directory: str
    checkpoint_s: float


def run(job: bytes, experiment_id: str, attempt: int, keeping: Keeping) -> None:
    """Run one attempt; everything it has to say, to the end marker, goes through the pipe."""
    global _granted_mb
    spec = _decode_spec(job)
    _granted_mb = spec.limits.memory_mb
    _limit_memory(_granted_mb + UNTOUCHED_MB * spec.limits.threads)
    report = _Coalescer(lambda progress: _send(messages.Report(progress)))
    end = _end_of(spec, report, experiment_id, attempt, keeping)
    _limit_memory(None)
    _granted_mb = None
    report.flush()
    _send(end)


def _end_of(
    spec: Spec, report: _Coalescer, experiment_id: str, attempt: int, keeping: Keeping
) -> messages.Completed | messages.Failed | messages.Cancelled:
    try:
        if isinstance(spec.method, Probe):
            from kanad_server import probe

            result = probe.run(spec.method, report.send_now, _is_cancelled, f"{experiment_id} {attempt}")
        else:
            result = _solve(spec, report, experiment_id, attempt, keeping)
        if not _is_finite(msgspec.to_builtins(result)):
            return messages.Failed(Error(code="bad_result", message="the solver returned a number that is not finite"))
        return messages.Completed(result.energy_hartree, msgspec.Raw(messages.encode(result)))
    except Cancelled:
        return messages.Cancelled()
    except SolverError as error:
        return messages.Failed(Error(code=error.code, message=error.message, details=dict(error.details)))
    except MemoryError:
        return messages.Failed(out_of_memory(spec.limits.memory_mb))
    except BaseException as error:  # the edge of the process: without an end marker the slot would wait for ever
        _send(messages.Trouble(traceback.format_exc()[-MAX_TRACEBACK_CHARACTERS:]))
        return messages.Failed(Error(code="solver_failed", message=f"the solver stopped with {type(error).__name__}"))


def out_of_memory(granted_mb: int) -> Error:
    """What an attempt ends with that needed more than it was granted."""
    message = f"the attempt needed more than limits.memory_mb = {granted_mb}; raise it, or ask for less"
    return Error(code="out_of_memory", message=message)


def _speak_before_exit() -> None:
    """PySCF's code in C calls `exit` where it gets no memory: the end marker is then sent on the way out.

    Nothing else gets here: the process itself ends by `_exit`.
    """
    global _last_words

    def speak(status: int, nothing: int | None) -> None:
        if _granted_mb is not None:
            _limit_memory(None)
            _send(messages.Failed(out_of_memory(_granted_mb)))

    _last_words = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)(speak)
    on_exit = getattr(ctypes.CDLL(None), "on_exit", None)
    if on_exit is not None:  # glibc
        on_exit(_last_words, None)


def _solve(spec: Spec, report: _Coalescer, experiment_id: str, attempt: int, keeping: Keeping) -> Result:
    """The chemistry, begun from the checkpoint of an attempt that was lost."""
    import kanad_solvers.run

    _use_threads(spec.limits.threads)
    directory = Path(keeping.directory)
    checkpoint = files.checkpoint(directory, experiment_id)
    memory = Memory(checkpoint, keeping.checkpoint_s)
    if attempt > 1:
        memory.load()
    kept = files.orbitals(directory, experiment_id)
    result = kanad_solvers.run.run(spec, report, _is_cancelled, memory, kept)
    checkpoint.unlink(missing_ok=True)
    return result


def _use_threads(count: int) -> None:
    """PySCF's own loops use so many; a warm worker keeps the number of its last attempt."""
    from pyscf import lib

    if lib.num_threads() != count:
        lib.num_threads(count)


class _Coalescer:
    """Lets at most 50 convergence events a second through; the first and the last of a series always."""

    def __init__(self, send: Callable[[Reported], None]) -> None:
        self._send = send
        self._held: Convergence | None = None
        self._series: str | None = None
        self._sent_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Send `progress`, or hold it until something newer, or the end, shows whether it was the last."""
        if not isinstance(progress, Convergence):
            self.flush()
            if isinstance(progress, Log) and len(progress.message) > MAX_LOG_CHARACTERS:
                progress = replace(progress, message=progress.message[:MAX_LOG_CHARACTERS] + " ...")
            self.send_now(progress)
            return
        if progress.series != self._series:
            self.flush()
            self._series = progress.series
        elif time.monotonic() - self._sent_at < 1 / EVENTS_PER_S:
            self._held = progress
            return
        self._held = None
        self._sent_at = time.monotonic()
        self.send_now(progress)

    def flush(self) -> None:
        """Send what is held."""
        if self._held is not None:
            self.send_now(self._held)
        self._held = self._series = None

    def send_now(self, progress: Progress) -> None:
        """Send without holding back."""
        self._send(progress)  # type: ignore[arg-type]  # solvers report every kind of Progress but Status


def _send(message: messages.Message) -> None:
    frames.send(_writer.fileno(), messages.encode(message))


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return True


def _is_cancelled() -> bool:
    return bool(_cancel_flag.value)


def _die_with_server() -> None:
    """Let the kernel send SIGIO, whose default action ends us, once the server's end of this pipe is closed.

    A parent-death signal would come from the forkserver, which lives as long as any of its children does.
    The kernel's signal also ends a loop in C that never returns to Python.
    """
    server = multiprocessing.parent_process()
    assert server is not None
    pipe = server.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if multiprocessing.connection.wait([pipe], timeout=0):  # it died before the line above took effect
        os._exit(1)


def _limit_memory(memory_mb: int | None) -> None:
    """Bound the address space to what the process has now plus `memory_mb`; None lifts the bound."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if memory_mb is None:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        return
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    limit = used + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
