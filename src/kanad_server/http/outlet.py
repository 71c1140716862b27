"""What one WebSocket sends, and how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import msgspec
from starlette.websockets import WebSocket

from kanad_server.batch import Batch, Encoding, Message
from kanad_server.peer import GOODBYE_S, STALLED_S, Peer, Stalled, peer_of
from kanad_server.wire import Reply

SUBPROTOCOLS: dict[str, Encoding] = {"kanad.v1.json": "json", "kanad.v1.msgpack": "msgpack"}
MAX_REASON = 120

_encode = msgspec.json.Encoder().encode


class Goodbye(Exception):
    """The stream ends, with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def forget(ends: BaseExceptionGroup[BaseException]) -> None:
    """Let go of the frames that exceptions hold, and that hold them: they would keep all of a viewer in memory until
    the next full collection."""
    for error in ends.exceptions:
        if isinstance(error, BaseExceptionGroup):
            forget(error)
        error.__traceback__ = None
    ends.__traceback__ = None


class Outlet:
    """A `hub.Sink` over a WebSocket: straight to the peer's socket, or by ASGI where that cannot be reached."""

    def __init__(self, socket: WebSocket, encoding: Encoding, peer: Peer | None) -> None:
        self._socket = socket
        self._peer = peer
        self._held: deque[Batch] = deque()
        self._sending = asyncio.Lock()
        self.encoding = encoding

    @classmethod
    async def accept(cls, socket: WebSocket) -> Outlet:
        """Take the handshake, with the first subprotocol offered that is ours."""
        chosen = next((name for name in socket.scope["subprotocols"] if name in SUBPROTOCOLS), None)
        peer = peer_of(socket.scope)
        await socket.accept(subprotocol=chosen)
        if peer is not None:
            peer.narrow()
        return cls(socket, SUBPROTOCOLS.get(chosen or "", "json"), peer)

    @property
    def peer(self) -> Peer | None:
        """Who reads, where that is known."""
        return self._peer

    def put(self, batch: Batch) -> bool:
        """Send a batch, without waiting; whether another one could be taken at once."""
        if self._peer is not None:
            return self._peer.write(batch.frame(self.encoding))
        self._held.append(batch)
        return False

    def say(self, reply: Reply) -> bool:
        """Send what is no event."""
        return self.put(Batch([Message(_encode(reply).decode())]))

    async def clear(self) -> None:
        """Wait until everything was taken.

        Raises:
            Stalled: the peer reads nothing.
            ConnectionError: it has gone.
        """
        if self._peer is not None:
            await self._peer.clear()
            return
        async with self._sending:
            while self._held:
                payload = self._held.popleft().payload(self.encoding)
                try:
                    async with asyncio.timeout(STALLED_S):
                        if self.encoding == "json":
                            await self._socket.send_text(payload.decode())
                        else:
                            await self._socket.send_bytes(payload)
                except TimeoutError:
                    raise Stalled(f"nothing was read for {STALLED_S:g} s; resume with after") from None

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame, wait a little for the answer, and cut the line of a peer that does not read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S / 2):
                await self._socket.close(code, reason[:MAX_REASON])
                if self._peer is not None:
                    self._peer.hush()
                while (await self._socket.receive())["type"] != "websocket.disconnect":
                    pass
            return
        self.cut()

    def cut(self) -> None:
        """End it without a word."""
        if self._peer is not None:
            self._peer.abort()
