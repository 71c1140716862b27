"""What a worker tells its slot. Plain data, decoded against these types; nothing is unpickled."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from kanad_server.wire import Error, Reported


class Report(msgspec.Struct, frozen=True, tag="report"):
    """The solver reported progress."""

    progress: Reported


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """A traceback, for the server's log alone."""

    text: str


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """The end marker of an attempt with a result."""

    energy_hartree: float | None
    result: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The end marker of an attempt that ended in an error."""

    error: Error


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The end marker of an attempt that saw the cancel flag."""


Message: TypeAlias = Report | Trouble | Completed | Failed | Cancelled

MAX_REPORT_BYTES = 12 * 1024 * 1024
"""A longer message has to be a result. Reports of solvers stay below 1 MB; the probe may send 10 MB."""

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode
_decode_result = msgspec.json.Decoder(Completed).decode


def decode(data: bytes) -> Message:
    """The message.

    Raises:
        msgspec.MsgspecError: it is none, or longer than its kind may be.
    """
    return _decode(data) if len(data) <= MAX_REPORT_BYTES else _decode_result(data)
