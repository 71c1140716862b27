"""The socket under a request: frames are written as they are, and a peer that does not read, or is dead, is dropped."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel keeps for a viewer who does not read; Linux doubles it. With one batch here it is below 256 KB."""
STALLED_S = 7.0
"""A peer that takes nothing for so long is given up, where no setting says otherwise."""
LOOK_S = 0.5
GOODBYE_S = 2.0
"""For a peer to answer a close frame."""
BEATS_AT_ONCE = 100

PING = b"\x89\x00"
"""What a WebSocket peer answers."""


class Stalled(Exception):
    """The peer reads nothing."""


class Peer:
    """Who is at the other end of a connection."""

    def __init__(self, writer: asyncio.StreamWriter, stalled_s: float = STALLED_S) -> None:
        self._writer = writer
        self._stalled_s = stalled_s
        self._transport = writer.transport
        self._heard_at = time.monotonic()
        self.may_write = True

    def narrow(self) -> None:
        """Keep little for a peer who does not read, and know at once whether everything was taken."""
        self._transport.set_write_buffer_limits(high=0)
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def write(self, frames: bytes) -> bool:
        """Write whole frames; whether the kernel has taken everything."""
        if self.may_write and not self._transport.is_closing():
            self._put(frames)
        return self.is_clear

    @property
    def is_clear(self) -> bool:
        """Whether more may be written, and nothing waits."""
        return self.may_write and not self._transport.get_write_buffer_size() and not self._transport.is_closing()

    async def clear(self) -> None:
        """Wait until everything written was taken.

        Raises:
            Stalled: nothing was taken for as long as a peer may stall.
            ConnectionError: the line broke, or the WebSocket on it was closed.
        """
        left, moved_at = self._transport.get_write_buffer_size(), time.monotonic()
        while not self.is_clear:
            if not self.may_write or self._transport.is_closing():
                raise ConnectionResetError("the peer has gone")
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._writer.drain()
            except TimeoutError:
                left_now = self._transport.get_write_buffer_size()
                if left_now < left:
                    left, moved_at = left_now, time.monotonic()
                elif time.monotonic() - moved_at > self._stalled_s - LOOK_S:
                    raise Stalled(f"nothing was read for {self._stalled_s:g} s; resume with after") from None

    def hear(self) -> None:
        """Something came from the peer."""
        self._heard_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """How long nothing came from the peer."""
        return time.monotonic() - self._heard_at

    def beat(self, beat: bytes) -> None:
        """Ask for a sign of life, unless something is on its way that asks for one already."""
        if self.is_clear:
            self._put(beat)

    def _put(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except RuntimeError:  # the connection has said its last word already: whoever writes is told so by `clear`
            self.may_write = False

    def hush(self) -> None:
        """Write nothing more: a close frame was sent. The line is cut if it is still there after `GOODBYE_S`."""
        if self.may_write:
            self.may_write = False
            asyncio.get_running_loop().call_later(GOODBYE_S, self.abort)

    def abort(self) -> None:
        """Cut the line; what waits to be sent is thrown away."""
        self._transport.abort()


CURRENT: ContextVar[Peer | None] = ContextVar("peer", default=None)
"""Set for each connection; the tasks of its requests inherit it."""


def peer_of(scope: Any) -> Peer | None:
    """The peer of a request that has a connection of its own: over HTTP/1.1, served by `serve`."""
    return CURRENT.get() if scope.get("http_version") == "1.1" else None


class Pulse:
    """Beats every peer, and drops those that are dead. `run` is its one task."""

    def __init__(self, beat_s: float, silent_s: float) -> None:
        """A peer that is pinged every `beat_s` and is silent for `silent_s` is dead: found at the next beat."""
        self._beat_s = beat_s
        self._silent_s = silent_s
        self._peers: dict[Peer, bytes] = {}

    @contextmanager
    def felt(self, peer: Peer | None, beat: bytes = PING) -> Iterator[None]:
        """Look after `peer` during the block. One that is not pinged has nothing to answer, but its kernel has: what it
        does not acknowledge ends the line (TCP_USER_TIMEOUT)."""
        if peer is None:
            yield
            return
        self._peers[peer] = beat
        try:
            yield
        finally:
            del self._peers[peer]

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self._beat_s)
            for number, (peer, beat) in enumerate(list(self._peers.items())):
                if beat is PING and peer.silent_s > self._silent_s:
                    peer.abort()
                else:
                    peer.beat(beat)
                if number % BEATS_AT_ONCE == 0:
                    await asyncio.sleep(0)
