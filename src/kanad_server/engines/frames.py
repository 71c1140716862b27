"""Messages through a pipe in frames that a dying writer cannot tear.

A pipe writes up to PIPE_BUF (4096) bytes at once or not at all, so a frame is never longer: what a killed worker
has sent is whole, and what it has not is absent. A longer message is split; all frames but its last say so.

    frame: 2 bytes length of the payload, 1 byte 1 if more of this message follows, payload
"""

from __future__ import annotations

import os
import struct

FRAME_BYTES = 4096
_HEADER = struct.Struct("!H?")
_PAYLOAD_BYTES = FRAME_BYTES - _HEADER.size


class BrokenFrame(Exception):
    """The writer does not keep to the format, or its message is longer than allowed."""


def send(descriptor: int, message: bytes) -> None:
    """Write one message to a blocking pipe; waits while the reader is behind."""
    for start in range(0, max(len(message), 1), _PAYLOAD_BYTES):
        payload = message[start : start + _PAYLOAD_BYTES]
        more = start + _PAYLOAD_BYTES < len(message)
        os.write(descriptor, _HEADER.pack(len(payload), more) + payload)


class Assembler:
    """Turns the bytes of a pipe back into messages of at most `max_message_bytes`."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._parts = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether everything that came was part of a whole message."""
        return not self._buffer and not self._parts

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes.

        Raises:
            BrokenFrame: a length out of range, or a message above the maximum.
        """
        self._buffer += data
        messages = []
        position = 0
        while len(self._buffer) - position >= _HEADER.size:
            length, more = _HEADER.unpack_from(self._buffer, position)
            if length > _PAYLOAD_BYTES:
                raise BrokenFrame(f"a frame of {length} bytes, at most {_PAYLOAD_BYTES} are allowed")
            end = position + _HEADER.size + length
            if len(self._buffer) < end:
                break
            self._parts += self._buffer[position + _HEADER.size : end]
            position = end
            if len(self._parts) > self._max:
                raise BrokenFrame(f"a message of more than {self._max} bytes")
            if not more:
                messages.append(bytes(self._parts))
                self._parts.clear()
        del self._buffer[:position]
        return messages
