"""WebSockets: the log of one experiment, then live, to its end; or many experiments on one socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.websockets import WebSocket

from kanad_server.errors import Unavailable
from kanad_server.http.experiments import person_of
from kanad_server.http.outlet import Goodbye, Outlet, forget
from kanad_server.http.switchboard import Switchboard
from kanad_server.peer import Stalled
from kanad_server.service import Service

log = logging.getLogger(__name__)

MAX_BURST = 1_000
MESSAGES_PER_S = 100.0
"""What a client may say: so much at once, and so much in the long run."""

DONE, RESTARTING, TOO_SLOW = 1000, 1012, 1013
RUDE, TOO_LONG, FAULT = 1008, 1009, 1011
BAD_REQUEST, NOT_FOUND = 4400, 4404
CLOSE_CODES: Mapping[int, str] = {
    DONE: "it has ended, and everything was sent",
    RUDE: "more messages than one may send",
    TOO_LONG: "a message of more than 64 KB",
    FAULT: "a fault of the server's",
    RESTARTING: "the server goes down; come back with after",
    TOO_SLOW: "nothing was read for too long, or there are too many viewers; come back with after",
    BAD_REQUEST: "after is no number, or beyond the last event",
    NOT_FOUND: "there is none, or it is somebody else's",
}
"""Every code with which the server closes a stream."""

Said = str | bytes
Hear = Callable[[Said], Awaitable[None]]


async def stream(socket: WebSocket) -> None:
    """Serve one experiment from `after` on; each event once, in order."""
    service: Service = socket.app.state.service

    async def talk(outlet: Outlet) -> None:
        experiment = await service.journal.current(socket.path_params["id"])
        if experiment is None or not person_of(socket).sees(experiment):
            raise Goodbye(NOT_FOUND, "there is no such experiment")
        after = socket.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and int(after[:18]) <= experiment.last_seq):
            raise Goodbye(
                BAD_REQUEST, f"after must be an integer from 0 to {experiment.last_seq}, the last number so far"
            )
        end = await service.hub.serve(experiment.id, int(after), service.journal, outlet)
        raise restarting() if end is None else Goodbye(DONE, "the experiment has ended")

    await session(socket, talk, deaf)


async def streams(socket: WebSocket) -> None:
    """Serve as many experiments as the client subscribes to, and summaries of those it watches."""
    service: Service = socket.app.state.service
    ready: asyncio.Future[Switchboard] = asyncio.get_running_loop().create_future()

    async def talk(outlet: Outlet) -> None:
        async with Switchboard(service, person_of(socket), outlet) as switchboard:
            ready.set_result(switchboard)
            await service.hub.closing()
        raise restarting()

    async def hear(said: Said) -> None:
        await (await ready).hear(said)

    await session(socket, talk, hear)


async def deaf(said: Said) -> None:
    """What the viewer says means nothing."""


async def session(socket: WebSocket, talk: Callable[[Outlet], Awaitable[None]], hear: Hear) -> None:
    """Talk and listen until one of them ends it, or until the viewer has gone."""
    service: Service = socket.app.state.service
    outlet = await Outlet.accept(socket)
    try:
        with service.hub.connected(), service.pulse.felt(outlet.peer):
            async with asyncio.TaskGroup() as group:
                group.create_task(_begun(talk, outlet), name="viewer-talk")
                await _listen(socket, hear)
    except Unavailable as error:
        await outlet.close(TOO_SLOW, error.message)
    except BaseExceptionGroup as ends:
        await _end(outlet, ends)
        forget(ends)


async def _end(outlet: Outlet, ends: BaseExceptionGroup[BaseException]) -> None:
    """Do what the first reason to end asks for."""
    cause: BaseException = ends
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    match cause:
        case Goodbye():
            await outlet.close(cause.code, cause.reason)
        case Stalled():
            await outlet.close(TOO_SLOW, str(cause))
        case Unavailable():
            await outlet.close(TOO_SLOW, cause.message)
        case ConnectionError():
            outlet.cut()
        case _:
            log.error("viewer failed", exc_info=cause)
            await outlet.close(FAULT, "the server failed at this stream; its log says why")


async def _listen(socket: WebSocket, hear: Hear) -> None:
    """Read, so that pings are answered, a viewer that leaves is noticed, and one that talks too much is sent away."""
    allowance, filled_at = float(MAX_BURST), time.monotonic()
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionResetError("the viewer has gone")
        now = time.monotonic()
        allowance = min(MAX_BURST, allowance + (now - filled_at) * MESSAGES_PER_S) - 1
        filled_at = now
        if allowance < 0:
            raise Goodbye(RUDE, f"more than {MAX_BURST} messages at once, or {MESSAGES_PER_S:g} a second")
        text = message.get("text")
        await hear(text if text is not None else message["bytes"])


async def _begun(talk: Callable[[Outlet], Awaitable[None]], outlet: Outlet) -> None:
    await talk(outlet)  # called here: nothing is left unawaited where the viewer has gone before it began


def restarting() -> Goodbye:
    """What viewers are told when the server goes down."""
    return Goodbye(RESTARTING, "the server goes down; resume with after when it is back")
