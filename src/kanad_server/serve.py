"""The server process: hypercorn with our own socket, signals and bounded end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from typing import Any

import hypercorn.asyncio
import msgspec
from hypercorn.config import Config
from msgspec.structs import replace
from starlette.applications import Starlette

from kanad_server import __version__, connections, tokens
from kanad_server.app import create_app
from kanad_server.engines import choice
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 4_096
"""Connections that wait to be taken; past it a client asks again after a second. The kernel has its own `somaxconn`."""
MAX_MESSAGE_BYTES = 64 * 1024
USER_TIMEOUT_MS = 20_000
"""A peer that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT)."""
KEEPALIVE_S = 20
"""A connection silent for so long is asked by the kernel whether it still lives, so that no viewer stays a ghost."""
LEAVE_S = 1.7
"""From a signal to the end of the process, besides the time that connections get; then it is ended by force."""
GOODBYE_S = 0.3
"""For viewers to be told 1012 before their sockets close."""


async def serve(settings: Settings, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; prints one line to standard output once it serves, `as_json` where that is asked.

    Raises:
        StartRefused: the address or the data directory cannot be used.
    """
    choice.check(settings)
    _check_exposure(settings)
    limits = connections.Limits(
        connections=connections.places(settings.max_connections, settings.slots),
        each=settings.max_connections_each,
        header_s=settings.header_s,
        body_s=settings.body_s,
        idle_s=settings.idle_s,
        stalled_s=settings.stalled_s,
    )
    listener = _listen(settings)
    app = create_app(replace(settings, max_viewers=min(settings.max_viewers, limits.connections * 3 // 4)))
    app.state.connections = connections.install(limits)
    leaving = _Leaving(settings.drain_s)
    asyncio.get_running_loop().set_exception_handler(_without_cancellations)
    try:
        await _serve(app, settings, listener, leaving, as_json)
    except BaseExceptionGroup as group:  # of the service's tasks
        refusals, _ = group.split(StartRefused)
        if refusals is None:
            raise
        raise _first(refusals) from group


async def _serve(app: Starlette, settings: Settings, listener: socket.socket, leaving: _Leaving, as_json: bool) -> None:
    async with app.router.lifespan_context(app):
        _spare_the_collector()
        url = _address(settings, *listener.getsockname()[:2])
        said = {
            "listening": url,
            "version": __version__,
            "data_dir": str(settings.data_path.absolute()),
            "pid": os.getpid(),
        }
        print(msgspec.json.encode(said).decode() if as_json else f"kanad-server listening on {url}", flush=True)
        leaving.is_serving = True
        ended = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn.asyncio.serve(_without_lifespan(app), _config(settings, listener), shutdown_trigger=ended.wait),
            name="hypercorn",
        )
        stopping = asyncio.create_task(leaving.asked.wait(), name="stop")
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await _end(app, serving, ended, settings.drain_s)


async def _end(app: Starlette, serving: asyncio.Task[None], ended: asyncio.Event, drain_s: float) -> None:
    """Tell the viewers, then let hypercorn go, for `drain_s` seconds at most: on Python 3.12 and later it can wait
    for ever for a peer that does not read."""
    log.info("going down")
    app.state.service.drain()
    await asyncio.sleep(GOODBYE_S)
    ended.set()
    done, _ = await asyncio.wait((serving,), timeout=drain_s)
    if not done:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((serving,), timeout=1.0)
    elif serving.exception() is not None:
        raise StartRefused("serve_failed", f"the HTTP server ended: {serving.exception()}")


def _spare_the_collector() -> None:
    """Leave what start-up made out of every collection, and collect less often: requests leave few cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # picked: a collection in some hundred requests


def _check_exposure(settings: Settings) -> None:
    """What other machines can reach needs tokens, and should be encrypted."""
    if (settings.certfile == "") != (settings.keyfile == ""):
        raise StartRefused("invalid_settings", "certfile and keyfile go together: set both, or neither")
    for name in (settings.certfile, settings.keyfile):
        if name and not os.access(name, os.R_OK):
            raise StartRefused("invalid_settings", f"{name} cannot be read; check certfile and keyfile")
    if settings.is_loopback:
        return
    if not tokens.are_good(settings.data_path):
        raise StartRefused(
            "unsafe_address",
            f"host {settings.host!r} is reachable from other machines, and the data directory {settings.data_dir}"
            " has no token to tell people apart; run kanad token create first, or bind to 127.0.0.1",
        )
    if not settings.has_tls:
        log.warning("tokens travel unencrypted: set certfile and keyfile, or put a TLS proxy in front")


def _address(settings: Settings, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.has_tls else 'http'}://{shown}:{port}"


def _listen(settings: Settings) -> socket.socket:
    """Our own listening socket: any free port, and options that hypercorn does not offer."""
    try:
        listener = socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise StartRefused(
            "address_unusable",
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror};"
            " stop what listens there, or choose another --port",
        ) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S // 4)
    return listener


def _config(settings: Settings, listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.errorlog = logging.getLogger("hypercorn")
    config.accesslog = None
    config.include_server_header = False
    config.websocket_max_message_size = MAX_MESSAGE_BYTES
    config.websocket_ping_interval = None  # its task outlives the socket by one interval and holds up the end
    config.h11_max_incomplete_size = settings.max_header_bytes
    config.graceful_timeout = settings.drain_s
    config.alpn_protocols = ["http/1.1"]
    if settings.has_tls:
        config.certfile, config.keyfile = settings.certfile, settings.keyfile
    return config


def _without_lifespan(app: Starlette) -> Any:
    """The app without its lifespan, which `serve` has entered already."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            # What a request raised has been answered and logged; a WebSocket's failure is logged by hypercorn.
            with contextlib.suppress(*([Exception] if scope["type"] == "http" else [])):
                await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return served


def _without_cancellations(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """On Python 3.11 asyncio reports the task of a connection that was cancelled at the end as an error; it is none."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _first(group: BaseExceptionGroup[StartRefused]) -> StartRefused:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class _Leaving:
    """SIGTERM and SIGINT: the first asks for an orderly end and bounds it, the second ends the process at once.

    Neither can lose anything: what was acknowledged is on the disk, what runs is taken up at the next start, and
    workers die with the process.
    """

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self.asked = asyncio.Event()
        self.is_serving = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear, number)

    def _hear(self, number: int) -> None:
        if self.asked.is_set():
            log.warning("a second signal: ending at once")
            os._exit(128 + number)
        self.asked.set()
        limit_s = LEAVE_S + (self._drain_s if self.is_serving else 0.0)
        # A thread, for the loop may be what does not end.
        last = threading.Timer(limit_s, self._leave)
        last.daemon = True
        last.start()

    @staticmethod
    def _leave() -> None:
        log.warning("the orderly end took too long: ending at once")
        os._exit(0)
