"""What the stream is measured beside: a plain Starlette loop under hypercorn, and `websockets.broadcast` on uvloop.

`python bench/rivals.py naive|broadcast PORT VIEWERS RATE SECONDS` serves any path; once VIEWERS are connected it sends
events to all of them, RATE a second (0: as fast as they are taken), and closes. Each event is as long as one of ours,
and has the moment at which it was made as ``residual``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

from kanad_server.clock import new_id, now

ID = new_id()


def event(seq: int) -> str:
    """A convergence event as the server writes it."""
    return (
        f'{{"type":"convergence","experiment_id":"{ID}","attempt":1,"seq":{seq},"time":"{now()}","series":"probe",'
        f'"iteration":{seq},"energy_hartree":-0.9990234375,"delta_hartree":null,"residual":{time.time()!r}}}'
    )


async def events(rate: float, seconds: float) -> AsyncIterator[str]:
    """Events at their times; who falls behind gets the next one at once."""
    begun, seq = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        if rate and seq > passed * rate:
            await asyncio.sleep(seq / rate - passed)
        seq += 1
        yield event(seq)


async def naive(port: int, viewers: int, rate: float, seconds: float) -> None:
    """The connection manager of many tutorials: a list of sockets, and a loop that sends to one after the other."""
    import hypercorn.asyncio
    from hypercorn.config import Config
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    sockets: list[WebSocket] = []
    done = asyncio.Event()

    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        sockets.append(socket)
        await done.wait()
        await socket.close()

    async def send() -> None:
        while len(sockets) < viewers:
            await asyncio.sleep(0.01)
        async for text in events(rate, seconds):
            for socket in sockets:
                await socket.send_text(text)
        done.set()
        await asyncio.sleep(1)

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    app = Starlette(routes=[WebSocketRoute("/{path:path}", endpoint)])
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=send)  # type: ignore[arg-type]  # any ASGI app


async def broadcast(port: int, viewers: int, rate: float, seconds: float) -> None:
    """`websockets.broadcast`, held back when what waits for the slowest would grow without end."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    done = asyncio.Event()

    async def endpoint(socket: ServerConnection) -> None:
        await done.wait()

    async with serve(endpoint, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        while len(server.connections) < viewers:
            await asyncio.sleep(0.01)
        sockets = list(server.connections)
        async for text in events(rate, seconds):
            broadcast(sockets, text)
            await asyncio.sleep(0)
            while max(socket.transport.get_write_buffer_size() for socket in sockets) > 64 * 1024:
                await asyncio.sleep(0)
        done.set()
        await asyncio.sleep(1)


def main() -> None:
    """Serve once."""
    kind, port, viewers, rate, seconds = sys.argv[1:]
    arguments = int(port), int(viewers), float(rate), float(seconds)
    if kind == "naive":
        asyncio.run(naive(*arguments))
    else:
        import uvloop

        uvloop.run(broadcast(*arguments))


if __name__ == "__main__":
    main()
