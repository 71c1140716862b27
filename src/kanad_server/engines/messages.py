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

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Message).decode
