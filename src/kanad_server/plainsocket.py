"""WebSockets of hypercorn without compression, which halves the rate and takes 140 KB a connection."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import hypercorn.protocol.h11
from hypercorn.protocol.events import Data, Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState

from kanad_server import peer


class WebSocketStream(WSStream):
    """A WebSocket that declines compression, notes every sign of life and is silent after a close frame."""

    async def handle(self, event: Event) -> None:
        """Take what came from the peer."""
        if isinstance(event, Request):
            plain = [header for header in event.headers if header[0].lower() != b"sec-websocket-extensions"]
            event = replace(event, headers=plain)
        await super().handle(event)
        if isinstance(event, StreamClosed):
            self._let_go()
        here = peer.CURRENT.get()
        if here is not None and isinstance(event, Data) and self.handshake.accepted:
            here.hear()
            if self.connection.state is not ConnectionState.OPEN:
                here.hush()

    def _let_go(self) -> None:
        """Break the circle of wsproto's parser, which is a generator that holds its own object."""
        parser = getattr(getattr(getattr(self, "connection", None), "_proto", None), "_parse_more", None)
        if isinstance(parser, Generator):
            parser.close()


def install() -> None:
    """Make hypercorn use it; there is no setting for that."""
    hypercorn.protocol.h11.WSStream = WebSocketStream  # type: ignore[attr-defined]  # it imports the name
