"""The WebSocket of one experiment: the log, then live, to the end; then the server closes it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from starlette.websockets import WebSocket, WebSocketDisconnect

from kanad_server.errors import Unavailable
from kanad_server.http.experiments import person_of
from kanad_server.service import Service

log = logging.getLogger(__name__)

SUBPROTOCOL = "kanad.v1.json"
SEND_S = 10.0
"""A viewer that takes nothing for so long is dropped; it can come back with ``after``."""

DONE, RESTARTING, TOO_SLOW, BAD_REQUEST, NOT_FOUND = 1000, 1012, 1013, 4400, 4404


async def stream(socket: WebSocket) -> None:
    """Serve one viewer from `after` on; each event once, in order."""
    service: Service = socket.app.state.service
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    experiment = await service.journal.current(socket.path_params["id"])
    if experiment is None or not person_of(socket).sees(experiment):
        await _close(socket, NOT_FOUND, "there is no such experiment")
        return
    after = socket.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and int(after[:18]) <= experiment.last_seq):
        reason = f"after must be an integer from 0 to {experiment.last_seq}, the last number so far"
        await _close(socket, BAD_REQUEST, reason)
        return
    await _serve(socket, service, experiment.id, int(after))


async def _serve(socket: WebSocket, service: Service, experiment_id: str, after: int) -> None:
    """Send until the end or until the viewer has gone, whichever is first."""
    sending = asyncio.create_task(_send(socket, service, experiment_id, after), name="viewer-send")
    listening = asyncio.create_task(_listen(socket), name="viewer-listen")
    try:
        await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, listening):
            task.cancel()
        outcomes = await asyncio.gather(sending, listening, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
                log.error("viewer failed", exc_info=outcome, extra={"experiment_id": experiment_id})


async def _send(socket: WebSocket, service: Service, experiment_id: str, after: int) -> None:
    try:
        async with aclosing(service.hub.follow(experiment_id, after, service.journal)) as batches:
            async for batch in batches:
                frame = batch[0] if len(batch) == 1 else f"[{','.join(batch)}]"
                async with asyncio.timeout(SEND_S):
                    await socket.send_text(frame)
    except TimeoutError:
        await _close(socket, TOO_SLOW, f"nothing was read for {SEND_S:g} s; resume with after")
    except Unavailable as error:
        await _close(socket, TOO_SLOW, error.message)
    else:
        if service.hub.is_closing:
            await _close(socket, RESTARTING, "the server goes down; resume with after when it is back")
        else:
            await _close(socket, DONE, "the experiment has ended")


async def _listen(socket: WebSocket) -> None:
    """Read, so that pings are answered and a viewer that leaves is noticed; what it says means nothing here."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    async with asyncio.timeout(SEND_S):
        await socket.close(code, reason[:120])
