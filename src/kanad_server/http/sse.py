"""Server-sent events: one experiment's log, then live, to its end, for who speaks HTTP and no WebSockets."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from kanad_server.batch import Batch, chunk_of
from kanad_server.errors import Malformed
from kanad_server.http.body import until_gone
from kanad_server.http.outlet import forget
from kanad_server.peer import STALLED_S, Peer, Stalled, peer_of
from kanad_server.service import Service
from kanad_server.wire import Experiment

MEDIA_TYPE = "text/event-stream"
RETRY = b"retry: 1000\n\n"
"""How long a browser waits before it comes back, in milliseconds."""
BEAT = chunk_of(b":\n\n")
"""A comment: browsers ignore it."""
_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy would hold events back
    (b"connection", b"close"),
]


def is_wanted(request: Request) -> bool:
    """Whether the client asks for server-sent events."""
    return request.method == "GET" and MEDIA_TYPE in request.headers.get("accept", "").lower()


def position(request: Request, experiment: Experiment) -> int:
    """Behind which event to begin: ``Last-Event-ID``, which a browser sends when it comes back, else ``after``.

    Raises:
        Malformed: it is no number, or beyond the last event.
    """
    after = request.headers.get("last-event-id", request.query_params.get("after", "0"))
    if not (after.isascii() and after.isdigit() and int(after[:18]) <= experiment.last_seq):
        raise Malformed(
            "invalid_after",
            f"Last-Event-ID and after are integers from 0 to {experiment.last_seq}, the last number so far;"
            f" got {after[:40]!r}",
        )
    return int(after)


class EventStream:
    """ASGI app: an answer that goes on until the experiment has ended."""

    def __init__(self, service: Service, experiment_id: str, after: int) -> None:
        self._service = service
        self._id = experiment_id
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer.

        Raises:
            Unavailable: there are too many viewers; nothing was sent.
        """
        with self._service.hub.connected():
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": RETRY, "more_body": True})
            peer = peer_of(scope)
            if peer is not None:
                peer.narrow()
            with self._service.pulse.felt(peer, BEAT):
                await self._serve(_Outlet(send, peer), receive)

    async def _serve(self, outlet: _Outlet, receive: Receive) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(_left(receive), name="viewer-leaves")
                await self._service.hub.serve(self._id, self._after, self._service.journal, outlet)
                leaving.cancel()
        except* (ConnectionError, Stalled) as ends:
            outlet.cut()
            forget(ends)
        else:
            await outlet.end()


class _Outlet:
    """A `hub.Sink` over the body of an answer: straight to the socket, or by ASGI where that cannot be reached."""

    def __init__(self, send: Send, peer: Peer | None) -> None:
        self._send = send
        self._peer = peer
        self._held: deque[Batch] = deque()

    def put(self, batch: Batch) -> bool:
        """Send a batch, without waiting; whether another one could be taken at once."""
        if self._peer is not None:
            return self._peer.write(batch.chunk())
        self._held.append(batch)
        return False

    async def clear(self) -> None:
        """Wait until everything was taken.

        Raises:
            Stalled: the peer reads nothing.
            ConnectionError: it has gone.
        """
        if self._peer is not None:
            await self._peer.clear()
            return
        while self._held:
            try:
                async with asyncio.timeout(STALLED_S):
                    await self._body(self._held.popleft().server_sent(), more=True)
            except TimeoutError:
                raise Stalled(f"nothing was read for {STALLED_S:g} s") from None

    async def end(self) -> None:
        """Say that this was all."""
        with suppress(ConnectionError, Stalled):
            await self.clear()
            await self._body(b"", more=False)

    def cut(self) -> None:
        """End it so that nobody takes it for complete."""
        if self._peer is not None:
            self._peer.abort()

    async def _body(self, part: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": more})


async def _left(receive: Receive) -> None:
    await until_gone(receive)
    raise ConnectionResetError("the viewer has gone")
