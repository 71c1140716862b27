"""The way back of a worker's executor, without pickle.

`ProcessPoolExecutor` unpickles what a worker writes to its result pipe, and whoever writes a pickle runs code in its
reader. A worker is not trusted: here the pipe carries plain data, bounded in size and in the time that it may take to
come. Whatever else arrives breaks the executor, as the death of the worker does.

    message: 4 bytes length, an `Outcome` in MessagePack
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
import struct
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import msgspec

log = logging.getLogger(__name__)

MAX_OUTCOME_BYTES = 64 * 1024 * 1024
"""The largest thing that a desk answers is a cube of a large molecule, about 10 MB."""
OUTCOME_S = 10.0
"""From the first byte of an outcome to its last."""
MAX_TEXT = 4_000
_LENGTH = struct.Struct("!I")
_READ_BYTES = 1024 * 1024


class BrokenOutcome(Exception):
    """What came is not an outcome, is too long, or stopped on its way."""


class RaisedInWorker(Exception):
    """The function raised; the text says what and where. For the log."""


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of one call: `result`, or the text of what was raised."""

    work_id: int
    result: bytes | int | None = None
    error: str | None = None

    @property
    def exception(self) -> RaisedInWorker | None:
        """As the executor wants it."""
        return None if self.error is None else RaisedInWorker(self.error)

    @property
    def exit_pid(self) -> None:
        """As the executor wants it: the process goes on."""
        return None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


class Outcomes:
    """Stands in for the `SimpleQueue` of an executor of one process: both ends in the server, the writer in the worker.

    The executor reads `_reader.recv()` and calls `close`; the worker calls `put`.
    """

    def __init__(self) -> None:
        reader, self._writer = multiprocessing.Pipe(duplex=False)
        self._reader = _Reader(reader)

    def put(self, item: Any) -> None:
        """Send what became of a call. What is no plain data raises, and the executor then sends that."""
        if isinstance(item, int):
            return  # the process ends by itself; its death tells as much
        error = None if item.exception is None else _text(item.exception)
        message = _encode(Outcome(item.work_id, None if error else _plain(item.result), error))
        view = memoryview(_LENGTH.pack(len(message)) + message)
        while view:
            view = view[os.write(self._writer.fileno(), view) :]

    def close_writer(self) -> None:
        """Close the server's copy of the writing end: with the worker's death the pipe then ends."""
        self._writer.close()

    def close(self) -> None:
        """Close both ends."""
        self._writer.close()
        self._reader.close()

    def __getstate__(self) -> Connection:
        return self._writer  # all that the worker gets

    def __setstate__(self, writer: Connection) -> None:
        self._writer = writer


class _Reader:
    """The reading end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        os.set_blocking(connection.fileno(), False)

    def fileno(self) -> int:
        """The descriptor, to be waited for."""
        return self._connection.fileno()

    def recv(self) -> Outcome:
        """The next outcome; called when the first of it is there.

        Raises:
            BrokenOutcome: see there.
            EOFError: every writer has gone.
        """
        try:
            return self._outcome()
        except (BrokenOutcome, msgspec.MsgspecError) as error:
            log.error("worker broke the protocol of its executor", extra={"cause": str(error)})
            raise BrokenOutcome(str(error)) from error

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _outcome(self) -> Outcome:
        deadline = time.monotonic() + OUTCOME_S
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        if length > MAX_OUTCOME_BYTES:
            raise BrokenOutcome(f"an outcome of {length} bytes, at most {MAX_OUTCOME_BYTES} are allowed")
        return _decode(self._exactly(length, deadline))

    def _exactly(self, length: int, deadline: float) -> bytes:
        found = bytearray()
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        while len(found) < length:
            if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
                raise BrokenOutcome(f"{length - len(found)} bytes of an outcome have not come")
            part = os.read(self.fileno(), min(length - len(found), _READ_BYTES))
            if not part:
                raise EOFError
            found += part
        return bytes(found)


def _plain(result: object) -> bytes | int | None:
    if result is None or isinstance(result, (bytes, int)):
        return result
    raise TypeError(f"a worker's functions return bytes or numbers, not {type(result).__name__}")


def _text(exception: Any) -> str:
    """The executor wraps an exception together with its traceback as text."""
    inner = getattr(exception, "exc", exception)
    trace = getattr(exception, "tb", None) or "".join(traceback.format_exception(inner))
    return f"{type(inner).__name__}: {str(inner)[:MAX_TEXT]}\n{trace[-MAX_TEXT:]}"
