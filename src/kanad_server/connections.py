"""Connections of hypercorn, mended: one that its client has closed is freed at once."""

from __future__ import annotations

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer


class Connection(TCPServer):
    """A connection whose idle timer ends with it.

    hypercorn waits for the timer of an idle connection even after its client has gone: every client that came and went
    held a file descriptor for `keep_alive_timeout`, and many short visits used them all up.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def install() -> None:
    """Make hypercorn use our connections; it has no setting for that."""
    hypercorn.asyncio.run.TCPServer = Connection  # type: ignore[attr-defined]  # it imports the name, not exports it
