"""Lines that break: a TCP proxy on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Breaking:
    """A proxy's address, and how often it has cut a connection."""

    url: str = ""
    cuts: int = 0


@asynccontextmanager
async def breaking_line(url: str, budget_of: Callable[[bytes, int], int | None]) -> AsyncIterator[Breaking]:
    """A proxy in front of `url` that cuts connections.

    Args:
        budget_of: for the first bytes of a connection's request and the number of cuts so far, after how many bytes
            from the server the connection is cut; None: never.
    """
    target = urlsplit(url)
    line = Breaking()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
        while data := await reader.read(512):
            if budget is not None and budget < len(data):
                writer.write(data[:budget])
                line.cuts += 1
                break
            writer.write(data)
            await writer.drain()
            budget = None if budget is None else budget - len(data)
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):  # the test's end cancels what still runs
            far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
            first = await reader.read(65_536)
            far_writer.write(first)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, far_writer, None), name="to-server")
                group.create_task(pump(far_reader, writer, budget_of(first, line.cuts)), name="to-client")

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    line.url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        proxy.close()


def is_stream(request: bytes) -> bool:
    """Whether a request opens a WebSocket."""
    return b"Upgrade: websocket" in request
