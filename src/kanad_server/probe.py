"""The `probe` method: reports steps without chemistry, or shows one fault. For tests and load only."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import deque
from collections.abc import Callable

from kanad_solvers.errors import Cancelled
from kanad_solvers.progress import Convergence, IsCancelled, Log, Progress, Stage
from kanad_solvers.result import Result
from kanad_solvers.spec import Probe

LEDGER_VARIABLE = "KANAD_PROBE_LEDGER"
"""Names a file to which each attempt appends a line at its start and at its end."""


class _Unpicklable(Exception):
    def __reduce__(self) -> str:
        raise TypeError("this exception cannot be pickled")


def run(method: Probe, report: Callable[[Progress], None], is_cancelled: IsCancelled, label: str) -> Result:
    """Report `method.steps` convergence events, `method.step_ms` apart, then end, or show `method.fault`.

    The residual of each is the moment of its report, in seconds since 1970: the way to a client can be timed whole.
    """
    _note("start", label)
    report(Stage(stage=0, last_stage=1, message="Probe started"))
    for step in range(1, method.steps + 1):
        if is_cancelled():
            raise Cancelled
        time.sleep(method.step_ms / 1000)
        report(Convergence(series="probe", iteration=step, energy_hartree=-1.0 + 2.0**-step, residual=time.time()))
        if method.payload_bytes:
            report(Log(message="x" * method.payload_bytes))
    result = _show(method.fault, report)
    report(Stage(stage=1, last_stage=1, message="Probe done", energy_hartree=-1.0))
    _note("end", label)
    return result


def _show(fault: str, report: Callable[[Progress], None]) -> Result:
    energy = -1.0
    warnings: tuple[str, ...] = ()
    match fault:
        case "raise":
            raise RuntimeError("the probe was told to raise")
        case "unpicklable":
            raise _Unpicklable("the probe was told to raise what cannot be pickled")
        case "sigsegv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "os_exit":
            os._exit(1)
        case "oom":
            hoard = []
            while True:
                hoard.append(bytearray(64 * 1024 * 1024))
        case "hang":
            while True:
                time.sleep(3600)
        case "busy_c_loop":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            deque(itertools.repeat(0), maxlen=0)  # never ends, holds the interpreter lock, sees no flag
        case "spam_progress":
            for step in range(20_000):
                report(Convergence(series="spam", iteration=step, energy_hartree=-1.0))
        case "huge_result":
            warnings = ("x" * (80 * 1024 * 1024),)
        case "nan_result":
            energy = float("nan")
    return Result(energy_hartree=energy, converged=True, warnings=warnings)


def _note(moment: str, label: str) -> None:
    ledger = os.environ.get(LEDGER_VARIABLE)
    if ledger:
        with open(ledger, "a") as file:
            file.write(f"{moment} {label} {os.getpid()}\n")
