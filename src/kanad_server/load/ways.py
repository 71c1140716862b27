"""The ways to an experiment's events: a WebSocket of its own, text or binary, one for many, or server-sent events."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec
from websockets.typing import Subprotocol

from kanad_server.load.line import LOST, OPEN_S, Line, Refused, open_line
from kanad_server.load.poster import Address

Way: TypeAlias = Literal["json", "msgpack", "stream", "sse"]
OVER = 0
"""The code of an answer that has come to its end: server-sent events have no close codes."""
DONE, NOT_FOUND, FAULT = 1000, 4404, 1011


class Open(Protocol):
    """A line that events come over."""

    closed: asyncio.Future[int]

    def cut(self) -> None:
        """Break it without a word."""

    def leave(self) -> None:
        """Say goodbye, where there is a word for it."""


async def open_way(
    way: Way, address: Address, experiment_id: str, after: int, on_events: Callable[[bytes], None]
) -> Open:
    """Follow an experiment from behind `after`; `on_events` gets JSON, or MessagePack for ``msgpack``.

    Raises:
        Refused: the server answered with an HTTP status.
        OSError: no connection, or not in time.
    """
    match way:
        case "json":
            return await open_line(address.stream(experiment_id, after), address.headers, on_events)
        case "msgpack":
            packed = Subprotocol("kanad.v1.msgpack")
            return await open_line(address.stream(experiment_id, after), address.headers, on_events, packed)
        case "stream":
            return await _subscribe(address, experiment_id, after, on_events)
        case "sse":
            return await _listen(address, experiment_id, after, on_events)


async def _subscribe(address: Address, experiment_id: str, after: int, on_events: Callable[[bytes], None]) -> Line:
    def hear(payload: bytes) -> None:
        if not payload.startswith((b'{"type":"subscribed"', b'{"type":"end"', b'{"type":"error"')):
            on_events(payload)
        elif not payload.startswith(b'{"type":"subscribed"'):
            is_end = payload.startswith(b'{"type":"end"')
            line.end(DONE if is_end else NOT_FOUND if b'"not_found"' in payload else FAULT)

    line = await open_line(address.many, address.headers, hear)
    line.send(msgspec.json.encode({"op": "subscribe", "id": experiment_id, "after": after}))
    return line


class EventSource(asyncio.Protocol):
    """Server-sent events over HTTP/1.1; `on_events` gets those that came together as one array."""

    def __init__(self, request: bytes, on_events: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self._request = request
        self._on_events = on_events
        self._data = b""
        self._body = b""
        self._transport: asyncio.Transport | None = None

    def cut(self) -> None:
        """Break the line."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """HTTP has no word for it."""
        self.cut()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("closed before the answer"))
        if not self.closed.done():
            self.closed.set_result(LOST)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            status = int(head.split(b" ", 2)[1])
            if status != 200:
                self.opened.set_exception(Refused(status))
                return self.cut()
            self.opened.set_result(None)
            self._data = rest
        self._read_chunks()
        whole, end, self._body = self._body.rpartition(b"\n\n")
        events = [line[6:] for line in whole.split(b"\n") if line.startswith(b"data: ")]
        if events:
            self._on_events(b"[" + b",".join(events) + b"]")
        if self.closed.done():
            self.cut()

    def _read_chunks(self) -> None:
        while True:
            size, end, rest = self._data.partition(b"\r\n")
            length = int(size, 16) if end else 0
            if not end or len(rest) < length + 2:
                return
            self._body += rest[:length]
            self._data = rest[length + 2 :]
            if length == 0 and not self.closed.done():
                self.closed.set_result(OVER)
                return


async def _listen(address: Address, experiment_id: str, after: int, on_events: Callable[[bytes], None]) -> EventSource:
    parts = urlsplit(address.base)
    headers = {"Host": parts.netloc.rpartition("@")[2], "Accept": "text/event-stream", **address.headers}
    if after:
        headers["Last-Event-ID"] = str(after)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {parts.path}/api/v1/experiments/{experiment_id}/events HTTP/1.1\r\n{lines}\r\n".encode()
    secure = ssl.create_default_context() if address.secure else None
    transport = None
    try:
        async with asyncio.timeout(OPEN_S):
            transport, source = await asyncio.get_running_loop().create_connection(
                lambda: EventSource(request, on_events), address.host, address.port, ssl=secure
            )
            await source.opened
    except BaseException:
        if transport is not None:
            transport.abort()
        raise
    return source
