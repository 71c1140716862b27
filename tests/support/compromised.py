"""What a worker may do that somebody else has taken over; each is run in place of the worker's own function."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from kanad_server.engines import frames, messages, worker
from kanad_server.engines.outcomes import Outcome
from kanad_server.wire import Convergence
from kanad_solvers.result import Result

CANARY = "KANAD_TEST_CANARY"
TAKEN = "taken.over"


class _Opens:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._path, "w"))


def attack(way: str, canary: str) -> None:
    """Do it, deaf to SIGTERM, and wait to be killed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    WAYS[way](_result_pipe(), canary)
    time.sleep(600)


def _pickle(pipe: int, canary: str) -> None:
    body = pickle.dumps(_Opens(canary))
    os.write(pipe, struct.pack("!i", len(body)) + body)


def _gigabyte(pipe: int, canary: str) -> None:
    os.write(pipe, struct.pack("!I", 2**30) + b"x" * 1000)


def _gigabyte_as_pickle(pipe: int, canary: str) -> None:
    os.write(pipe, struct.pack("!iQ", -1, 2**30) + b"x" * 1000)


def _half(pipe: int, canary: str) -> None:
    os.write(pipe, struct.pack("!I", 1000) + b"x")


def _number(pipe: int, canary: str) -> None:
    body = msgspec.msgpack.encode(os.getpid())
    os.write(pipe, struct.pack("!I", len(body)) + body)


def _false_return(pipe: int, canary: str) -> None:
    for work_id in range(10):
        body = msgspec.msgpack.encode(Outcome(work_id, b"done"))
        os.write(pipe, struct.pack("!I", len(body)) + body)


def _raise(pipe: int, canary: str) -> None:
    raise RuntimeError(_Opens(canary))


def _heir(pipe: int, canary: str) -> None:
    """Leave a process behind that holds every pipe open."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    _half(pipe, canary)
    os.kill(os.getpid(), signal.SIGKILL)


WAYS: dict[str, Callable[[int, str], None]] = {
    "a pickle": _pickle,
    "a length of a gigabyte": _gigabyte,
    "a length of a gigabyte as pickles have it": _gigabyte_as_pickle,
    "half a message": _half,
    "a number": _number,
    "a return that is none": _false_return,
    "an exception with a pickle in it": _raise,
    "an heir": _heir,
}


def _result_pipe() -> int:
    """The executor's own loop holds it."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    return int(frame.f_locals["result_queue"]._writer.fileno())


def end_twice(job: bytes, experiment_id: str, attempt: int, keeping: worker.Keeping) -> None:
    """An end marker, more reports, and another end."""
    end = messages.Completed(-1.0, msgspec.Raw(messages.encode(Result(energy_hartree=-1.0, converged=True))))
    other = messages.Completed(-9.0, msgspec.Raw(messages.encode(Result(energy_hartree=-9.0, converged=True))))
    for message in (end, messages.Report(Convergence(series="late", iteration=9, energy_hartree=-9.0)), other):
        frames.send(worker._writer.fileno(), messages.encode(message))


def end_and_stay(job: bytes, experiment_id: str, attempt: int, keeping: worker.Keeping) -> None:
    """An end marker, and no return."""
    end = messages.Completed(-1.0, msgspec.Raw(messages.encode(Result(energy_hartree=-1.0, converged=True))))
    frames.send(worker._writer.fileno(), messages.encode(end))
    time.sleep(600)


def lie_in_wait(job: bytes, experiment_id: str, attempt: int, keeping: worker.Keeping) -> None:
    """An end marker and, while the slot is idle, half a frame of the next attempt."""
    end = messages.Completed(-1.0, msgspec.Raw(messages.encode(Result(energy_hartree=-1.0, converged=True))))
    frames.send(worker._writer.fileno(), messages.encode(end))
    time.sleep(0.1)
    os.write(worker._writer.fileno(), b"\0")


def give_up(job: bytes, experiment_id: str, attempt: int, keeping: worker.Keeping) -> None:
    """What PySCF's code in C does where it gets no memory."""
    worker._granted_mb = 10
    ctypes.CDLL(None).exit(1)


def run(job: bytes, experiment_id: str, attempt: int, keeping: worker.Keeping) -> None:
    """The experiment's id says which attack it is to be, and the directory for files where the canary would sit."""
    attack(experiment_id, str(Path(keeping.directory) / "canary"))
