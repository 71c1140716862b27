"""Connections of hypercorn, bounded in number and in time.

A connection is silent, sends a head, sends a body, is being answered, or is open (a WebSocket). The first three have
deadlines. When all places are taken, those that have asked for nothing give way: silent ones first, then slow ones,
from the address that holds most.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import Any

import h11
import hypercorn.asyncio.run
import msgspec
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import parse_socket_addr

from kanad_server import peer, plainsocket
from kanad_server.http1 import Http1, refusal

log = logging.getLogger(__name__)

SWEEP_S = 0.25
LINGER_S = 2.0
"""A client that still sends when it has its answer is listened to for so long, so that it can read the answer."""
STALLED_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""
RESERVED_FILES = 64
FILES_EACH_SLOT = 16
YOUNG_S = 0.05
"""A connection that is younger may be about to ask: it gives way to a newcomer only when nobody else does."""
YOUNG_BODY_S = 0.25
"""A body in transit gives way to a newcomer only when it is older."""
PATIENCE_S = 0.5
"""A newcomer waits so long for a place before young ones give way too."""
LOOK_AGAIN_S = 0.025
"""Where nobody gave way, nobody is asked for so long: to look at all of them costs time."""
NEWCOMERS = RESERVED_FILES // 2
"""How many may wait for a place at once; each holds an open file."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many connections, and how long each may take for what."""

    connections: int
    each: int
    header_s: float
    body_s: float
    idle_s: float
    stalled_s: float = peer.STALLED_S


class Phase(IntEnum):
    """What a connection does; the lower, the sooner it gives way to a newcomer."""

    SILENT = 0
    HEAD = 1
    IDLE = 2
    BODY = 3
    ANSWERING = 4
    OPEN = 5
    LEAVING = 6


def places(wanted: int, slots: int) -> int:
    """How many connections there is room for: the limit on open files is raised as far as it goes, and a part kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    room = max(16, soft - RESERVED_FILES - FILES_EACH_SLOT * slots)
    if room < wanted:
        log.warning("fewer connections than max_connections: the limit on open files is low", extra={"room": room})
    return min(wanted, room)


class Connections:
    """All open connections of a server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.refused = 0
        self.cut = 0
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._newcomers = 0
        self._nobody_until: dict[str, float] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    async def admit(self, connection: Connection) -> bool:
        """Take the connection in, after `PATIENCE_S` at most; False where nobody gives way to it."""
        address = connection.address
        if not (self._has_place(address) or await self._finds_place(address) or self._has_place(address, young_s=0.0)):
            self.refused += 1
            return False
        self._open.add(connection)
        self._by_address[address] += 1
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return True

    def _has_place(self, address: str, young_s: float = YOUNG_S) -> bool:
        if self._by_address[address] >= self.limits.each and not self._make_room(address, young_s):
            return False
        if len(self._open) < self.limits.connections:
            return True
        return self._make_room(self._by_address.most_common(1)[0][0], young_s)

    async def _finds_place(self, address: str) -> bool:
        if self._newcomers >= NEWCOMERS:
            return False
        self._newcomers += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not self._has_place(address):
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            return False
        finally:
            self._newcomers -= 1
        return True

    def leave(self, connection: Connection) -> None:
        """The connection has ended."""
        if connection in self._open:
            self._open.discard(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]
                self._nobody_until.pop(connection.address, None)

    def _make_room(self, address: str, young_s: float) -> bool:
        """Cut off some connections of `address` that ask for nothing; a part at once, so that a flood costs little."""
        now = asyncio.get_running_loop().time()
        if young_s and now < self._nobody_until.get(address, 0.0):
            return False
        waiting = [one for one in self._open if one.address == address and one.gives_way(now, young_s)]
        waiting.sort(key=lambda one: (one.phase is not Phase.LEAVING, one.phase, one.since))
        chosen = waiting[: max(1, len(self._open) // 64)]
        for connection in chosen:
            connection.cut_off()
            self.leave(connection)
        if not chosen:
            self._nobody_until[address] = now + LOOK_AGAIN_S
        return bool(chosen)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in list(self._open):
            connection.check(loop.time())
        self._sweeping = loop.call_later(SWEEP_S, self._sweep) if self._open else None


class Connection(TCPServer):
    """One connection. Its task reads; the sweeper ends it when it takes too long."""

    protocol: Http1  # type: ignore[assignment]  # in place of the wrapper that changes to HTTP/2

    def __init__(self, connections: Connections, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections = connections
        self._limits = connections.limits
        name = self.writer.get_extra_info("peername")
        self.address = str(name[0]) if name else ""
        self.since = self.loop.time()
        self._phase = Phase.SILENT
        self._peer = peer.Peer(self.writer, self._limits.stalled_s)
        self._served = False
        self._sending_since: float | None = None
        self._lingers = False
        self._task = asyncio.current_task()
        self._was_cut = False

    @property
    def phase(self) -> Phase:
        """What it does now."""
        return self._phase

    async def run(self) -> None:
        """Serve it to its end."""
        if not await self._connections.admit(self):
            await self._say_full()
            return
        self.since = self.loop.time()
        peer.CURRENT.set(self._peer)
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self._was_cut:
                raise
        except OSError:
            pass
        finally:
            self._connections.leave(self)
            if self._was_cut:
                self.writer.transport.abort()
            else:
                with suppress(OSError):
                    await self._close()
            self._let_go()

    def _let_go(self) -> None:
        """Break the circles between the objects of a connection. A thousand that end together would otherwise stay in
        memory until the next full collection, which is rare, and stops everything for the longer the more there are."""
        if (protocol := getattr(self, "protocol", None)) is not None:
            protocol.stream = None
            del self.protocol, self._task_group
        self._task = None

    async def _serve(self) -> None:
        socket = self.writer.get_extra_info("socket")
        async with TaskGroup(self.loop) as group:
            self._task_group = group
            self.protocol = Http1(
                self.app,
                self.config,
                self.context,
                group,
                self.state.copy(),  # type: ignore[arg-type]  # a dict by two names
                self.writer.get_extra_info("ssl_object") is not None,
                parse_socket_addr(socket.family, socket.getpeername()),
                parse_socket_addr(socket.family, socket.getsockname()),
                self.protocol_send,
            )
            await self._read_data()

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            if self._phase is not Phase.LEAVING:
                await self.protocol.handle(RawData(data))
                self._look()
        await self.protocol.handle(Closed())

    async def protocol_send(self, event: Event) -> None:
        """What the protocol has for the client."""
        if isinstance(event, RawData):
            if self._phase is Phase.LEAVING:
                return
            async with self.send_lock:
                self._sending_since = self.loop.time()
                try:
                    self.writer.write(event.data)
                    await self.writer.drain()
                except (ConnectionError, RuntimeError):
                    await self.protocol.handle(Closed())
                finally:
                    self._sending_since = None
            self._look()
        elif isinstance(event, Closed):
            self._leave()
        elif isinstance(event, Updated):
            self._served = True
            self._look()

    def gives_way(self, now: float, young_s: float) -> bool:
        """Whether a newcomer may have its place. One that is younger than `young_s` may be about to ask."""
        self._look()
        age_s = now - self.since
        match self._phase:
            case Phase.SILENT | Phase.HEAD:
                return age_s > young_s
            case Phase.BODY:
                return age_s > YOUNG_BODY_S
            case Phase.OPEN:
                return not self._peer.may_write  # it was sent away, and has yet to hang up
            case phase:
                return phase in (Phase.IDLE, Phase.LEAVING)

    def check(self, now: float) -> None:
        """End it if it takes too long, or if the server goes down and it asks for nothing."""
        if self._sending_since is not None and now - self._sending_since > STALLED_S:
            self.cut_off()
        self._look()
        waits_s = now - self.since
        match self._phase:
            case Phase.SILENT | Phase.HEAD if waits_s > self._limits.header_s:
                self._time_out("the head of a request", self._limits.header_s)
            case Phase.BODY if waits_s > self._limits.body_s:
                self._time_out("the body of a request", self._limits.body_s)
            case Phase.IDLE if waits_s > self._limits.idle_s:
                self._leave()
            case Phase.LEAVING if waits_s > (LINGER_S if self._lingers else STALLED_S):
                self.cut_off()
            case Phase.SILENT | Phase.HEAD | Phase.IDLE if self.context.terminated.is_set():
                self._leave()
            case _:
                pass

    def cut_off(self) -> None:
        """End it now: what is under way on it is cancelled."""
        if self._was_cut:
            return
        self._was_cut = True
        self._connections.cut += 1
        self.writer.transport.abort()
        self._let_the_queue_go()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        """Which phase it is in; time counts from the beginning of a phase, not from the last byte."""
        if self._phase is Phase.LEAVING or self._was_cut:
            return
        connection, stream = self.protocol.connection, self.protocol.stream
        their_state = connection.their_state
        if their_state is None:
            phase = Phase.OPEN
            if isinstance(stream, WSStream) and (stream.closed or stream.buffer.length > stream.buffer.max_length):
                # A handshake that was refused, or a message that is too long: the peer was told, and the rest of it
                # would only fill the memory.
                self._leave()
                return
        elif their_state is h11.IDLE:
            has_begun = bool(connection.trailing_data[0])
            phase = Phase.HEAD if has_begun else Phase.IDLE if self._served else Phase.SILENT
        elif their_state is h11.SEND_BODY:
            if connection.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED):
                self._leave()  # answered before all of it was sent
                return
            phase = Phase.BODY
        else:
            phase = Phase.ANSWERING
        if phase is not self._phase and (self._phase, phase) != (Phase.SILENT, Phase.HEAD):
            self.since = self.loop.time()
        self._phase = phase

    def _leave(self) -> None:
        """Say no more. A client that still sends may read its answer first: closing at once would reset the line."""
        if self._phase is Phase.LEAVING:
            return
        self._lingers = self.protocol.connection.their_state in (h11.SEND_BODY, None) and self.writer.can_write_eof()
        self._phase, self.since = Phase.LEAVING, self.loop.time()
        if self._lingers:
            with suppress(OSError, RuntimeError):
                self.writer.write_eof()
            self._let_the_queue_go()
        else:
            self.writer.close()

    def _time_out(self, what: str, limit_s: float) -> None:
        if self.protocol.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._phase is not Phase.SILENT:
            self.writer.write(_answer(408, "request_timeout", f"{what} must be sent within {limit_s:g} s"))
        self._connections.cut += 1
        self._leave()
        self._let_the_queue_go()

    def _let_the_queue_go(self) -> None:
        """Empty what waits for the application, so that nothing waits for room in it any more.

        A WebSocket that the application has not met yet begins and ends for it: an end alone would be no ASGI.
        """
        stream = getattr(self, "protocol", None) and self.protocol.stream
        queue = getattr(getattr(stream, "app_put", None), "__self__", None)
        if isinstance(queue, asyncio.Queue):
            waiting = [queue.get_nowait() for _ in range(queue.qsize())]
            for message in waiting[:1]:
                if message["type"] == "websocket.connect":
                    queue.put_nowait(message)
            queue.put_nowait({"type": "websocket.disconnect" if isinstance(stream, WSStream) else "http.disconnect"})

    async def _say_full(self) -> None:
        with suppress(OSError, RuntimeError):
            self.writer.write(_answer(503, "too_many_connections", "every connection is taken; try again soon", 1))
            self.writer.close()


def _answer(status: int, code: str, detail: str, retry_after_s: int | None = None) -> bytes:
    headers, body = refusal(status, code, detail, retry_after_s=retry_after_s)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return b"HTTP/1.1 %d Refused\r\n%s\r\n%s" % (status, lines, body)


def install(limits: Limits) -> Connections:
    """Make hypercorn use our connections; it has no setting for that."""
    connections = Connections(limits)
    plainsocket.install()
    hypercorn.asyncio.run.TCPServer = partial(Connection, connections)  # type: ignore[attr-defined,assignment]  # a factory
    return connections
