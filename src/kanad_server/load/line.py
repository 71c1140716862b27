"""One WebSocket, read as cheaply as Python can: a frame in, its bytes out.

`websockets` does the handshake; what comes after is read here, because its parser costs 15 us a frame more (28 against
14 us with 200 viewers on uvloop), and a client that is busy parsing measures itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

SUBPROTOCOL = Subprotocol("kanad.v1.json")
OPEN_S = 30.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
LOST = 1006
"""The code of a line that broke without a word."""

_FIN = 0x80


class Refused(OSError):
    """The server answered the handshake with an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Line(asyncio.Protocol):
    """A connection; `on_message` gets each whole message, `closed` the close code."""

    def __init__(self, handshake: ClientProtocol, headers: dict[str, str], on_message: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self._handshake = handshake
        self._headers = headers
        self._on_message = on_message
        self._head = bytearray()
        self._rest = b""
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    # What the owner does

    def send(self, text: bytes) -> None:
        """Send a text message."""
        self._write(Frame(Opcode.TEXT, text))

    def end(self, code: int) -> None:
        """The server has said that this was all: the line is over, with a code of the owner's own."""
        if not self.closed.done():
            self.closed.set_result(code)
        self.leave()

    def cut(self) -> None:
        """Break the line without a word; what is under way is lost."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Say goodbye; messages come until the server has answered."""
        self._write(Frame(Opcode.CLOSE, Close(CloseCode.GOING_AWAY, "").serialize()))

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        request = self._handshake.connect()
        request.headers.update(self._headers)
        self._handshake.send_request(request)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("closed during the handshake"))
        if not self.closed.done():
            self.closed.set_result(LOST)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self._read(self._rest + data if self._rest else data)
            return
        self._head += data
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not end:
            return
        self._handshake.receive_data(head + end)
        if self._handshake.state is State.OPEN:
            self.opened.set_result(None)
            self._read(rest)
            return
        error = self._handshake.handshake_exc
        self.opened.set_exception(
            Refused(error.response.status_code) if isinstance(error, InvalidStatus) else OSError(str(error))
        )
        self.cut()

    def _read(self, data: bytes) -> None:
        """Take the whole frames of `data`; a server's are not masked."""
        start, size = 0, len(data)
        while size - start >= 2:
            length, body = data[start + 1], start + 2
            if length == 126:
                length, body = int.from_bytes(data[body : body + 2], "big"), body + 2
            elif length == 127:
                length, body = int.from_bytes(data[body : body + 8], "big"), body + 8
            if length > MAX_MESSAGE_BYTES:
                return self.cut()
            end = body + length
            if end > size:
                break
            self._frame(data[start], data[body:end])
            start = end
        self._rest = data[start:]

    def _frame(self, first: int, payload: bytes) -> None:
        if first in (_FIN | Opcode.TEXT, _FIN | Opcode.BINARY):
            self._on_message(payload)
        elif first & 0x0F in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(payload)
            if first & _FIN:
                parts, self._parts = self._parts, []
                self._on_message(b"".join(parts))
        elif first & 0x0F == Opcode.PING:
            self._write(Frame(Opcode.PONG, payload))
        elif first & 0x0F == Opcode.CLOSE:
            if not self.closed.done():
                self.closed.set_result(Close.parse(payload).code)
            self._write(Frame(Opcode.CLOSE, payload))
            if self._transport is not None:
                self._transport.close()

    def _write(self, frame: Frame) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame.serialize(mask=True))

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._handshake.data_to_send():
            self._transport.write(data)


async def open_line(
    url: str, headers: dict[str, str], on_message: Callable[[bytes], None], subprotocol: Subprotocol = SUBPROTOCOL
) -> Line:
    """Connect and shake hands, for `OPEN_S` seconds at most.

    Raises:
        Refused: the server answered with an HTTP status.
        OSError: no connection, or not in time.
    """
    address = parse_uri(url)
    handshake = ClientProtocol(address, subprotocols=[subprotocol], max_size=None)
    secure = ssl.create_default_context() if address.secure else None
    transport = None
    try:
        async with asyncio.timeout(OPEN_S):
            transport, line = await asyncio.get_running_loop().create_connection(
                lambda: Line(handshake, headers, on_message), address.host, address.port, ssl=secure
            )
            await line.opened
    except BaseException:
        if transport is not None:
            transport.abort()
        raise
    return line
