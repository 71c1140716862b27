"""From what a worker said last, or from how it died, to a verdict. Nothing is trusted before it fits its type."""

from __future__ import annotations

import signal

import msgspec

from kanad_server.engines import messages, versions
from kanad_server.engines.base import Cancelled, Completed, Failed, Verdict
from kanad_server.wire import Error
from kanad_solvers.result import Result

_decode_result = msgspec.json.Decoder(Result).decode

BROKEN_PROTOCOL = Failed(Error(code="bad_result", message="the worker sent something that is not a valid message"))


def of(end: messages.Completed | messages.Failed | messages.Cancelled) -> tuple[Verdict, float]:
    """The verdict of an end marker, and the megabytes that the attempt took at most (infinite where that is not known).

    Raises:
        msgspec.MsgspecError: the result does not fit its type.
    """
    match end:
        case messages.Completed(energy_hartree=energy, result=result):
            found = _decode_result(result)
            peak_mb = float("inf") if found.provenance is None else found.provenance.peak_rss_mb
            return Completed(energy, bytes(result), versions.made_with(found)), peak_mb
        case messages.Failed(error=error):
            return Failed(error), float("inf")
        case messages.Cancelled():
            return Cancelled(), float("inf")


def death(exit_code: int | None) -> Error:
    """`worker_lost` for a process that somebody killed, `worker_crashed` for one that fell."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        code = "worker_lost" if -exit_code in (signal.SIGKILL, signal.SIGTERM) else "worker_crashed"
        return Error(code=code, message=f"the worker process ended by {name}", details={"exit_signal": name})
    return Error(
        code="worker_crashed",
        message=f"the worker process ended with exit code {exit_code}",
        details={"exit_code": exit_code},
    )
