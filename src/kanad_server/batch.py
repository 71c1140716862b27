"""What is sent together: put into each form once, whatever the number of viewers.

A frame of a WebSocket server is a short header and the payload, the same for every viewer: it is built here, once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

Encoding: TypeAlias = Literal["json", "msgpack"]

MAX_BYTES = 64 * 1024
"""A batch holds no more than this, as JSON, unless one message alone does."""
_TEXT, _BINARY = 0x81, 0x82


class Message:
    """One event, or another thing that is sent: its JSON text, and on demand the same as MessagePack."""

    __slots__ = ("_packed", "seq", "text")

    def __init__(self, text: str, seq: int = 0) -> None:
        self.text = text
        self.seq = seq
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """As MessagePack; transcoded once."""
        if self._packed is None:
            self._packed = msgspec.msgpack.encode(msgspec.json.decode(self.text))
        return self._packed


class Batch:
    """Messages that go out in one frame, in order."""

    __slots__ = ("_frames", "_payloads", "messages", "size")

    def __init__(self, messages: Sequence[Message], size: int = 0) -> None:
        """`size` is that of their text."""
        self.messages = messages
        self.size = size
        self._payloads: dict[str, bytes] = {}
        self._frames: dict[str, bytes] = {}

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.messages[-1].seq

    def payload(self, encoding: Encoding) -> bytes:
        """One message as it is, several as an array."""
        payload = self._payloads.get(encoding)
        if payload is None:
            make = _json if encoding == "json" else _msgpack
            payload = self._payloads[encoding] = make(self.messages)
        return payload

    def frame(self, encoding: Encoding) -> bytes:
        """The payload as a frame of a WebSocket server."""
        frame = self._frames.get(encoding)
        if frame is None:
            payload = self.payload(encoding)
            frame = self._frames[encoding] = frame_of(_TEXT if encoding == "json" else _BINARY, payload)
        return frame

    def server_sent(self) -> bytes:
        """As server-sent events, each with its number as ``id``."""
        payload = self._payloads.get("sse")
        if payload is None:
            lines = [f"id: {message.seq}\ndata: {message.text}\n\n" for message in self.messages]
            payload = self._payloads["sse"] = "".join(lines).encode()
        return payload

    def chunk(self) -> bytes:
        """`server_sent` as a chunk of an HTTP/1.1 answer."""
        chunk = self._frames.get("sse")
        if chunk is None:
            chunk = self._frames["sse"] = chunk_of(self.server_sent())
        return chunk


def fitting(messages: Sequence[Message], first: int = 0) -> Batch:
    """As many of `messages` from index `first` on as one batch may hold, one at least."""
    size = 0
    for index in range(first, len(messages)):
        size += len(messages[index].text)
        if size > MAX_BYTES and index > first:
            return Batch(messages[first:index], size - len(messages[index].text))
    return Batch(messages[first:] if first else messages, size)


def in_batches(messages: Sequence[Message]) -> list[Batch]:
    """All of `messages`, in as few batches as hold them."""
    batches, first = [], 0
    while first < len(messages):
        batches.append(fitting(messages, first))
        first += len(batches[-1].messages)
    return batches


def frame_of(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked frame (RFC 6455, section 5.2); `opcode` has the FIN bit."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", opcode, size) + payload
    if size < 65536:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload


def chunk_of(payload: bytes) -> bytes:
    """A chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def _json(messages: Sequence[Message]) -> bytes:
    if len(messages) == 1:
        return messages[0].text.encode()
    return f"[{','.join([message.text for message in messages])}]".encode()


def _msgpack(messages: Sequence[Message]) -> bytes:
    count = len(messages)
    if count == 1:
        return messages[0].packed
    if count < 16:
        head = struct.pack("!B", 0x90 | count)
    else:
        head = struct.pack("!BH", 0xDC, count) if count < 65536 else struct.pack("!BI", 0xDD, count)
    return head + b"".join([message.packed for message in messages])
