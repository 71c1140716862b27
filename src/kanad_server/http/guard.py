"""What every request passes: exact `Host` and `Origin`, no token in the address, and who it is that asks.

Whether that person may make this very call is said in `rules`.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kanad_server.errors import Forbidden, KanadError, Malformed, Refused, Unavailable
from kanad_server.gate import Gate
from kanad_server.http.headers import secured
from kanad_server.http.problems import of_refused, of_unavailable
from kanad_server.people import Person
from kanad_server.settings import Settings

MESSAGES_PER_S = 1_000
"""A subscription of a thousand experiments at once must fit."""
TOKEN_PARAMETERS = frozenset({"token", "access_token", "api_key", "apikey", "auth", "authorization", "key"})


class Guard:
    """ASGI middleware around every route."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = settings.served_hosts
        self._origins = settings.served_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it before anything else sees it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                scope["app"].state.service.metrics.answers[message["status"]] += 1
                message["headers"] = secured(message.get("headers", []))
            await send(message)

        try:
            person = await self._who(scope)
        except KanadError as error:
            answer = of_refused(error) if isinstance(error, Refused) else of_unavailable(_unavailable(error))
            await answer(scope, receive, send_with_headers)
        else:
            scope["state"] = {**scope.get("state", {}), "person": person}
            counted = _counted(receive, send) if scope["type"] == "websocket" else receive
            await self._app(scope, counted, send_with_headers)

    async def _who(self, scope: Scope) -> Person | None:
        headers = Headers(scope=scope)
        self._check_address(headers, QueryParams(scope["query_string"]))
        gate: Gate = scope["app"].state.service.gate
        client = scope.get("client")
        return await gate.person(headers.get("authorization"), client[0] if client else "")

    def _check_address(self, headers: Headers, query: QueryParams) -> None:
        host = headers.get("host", "")
        if _name(f"//{host}") not in self._hosts:
            raise Forbidden(
                "host_not_served",
                f"this server does not answer to the name {host[:80]!r}; its names are in KANAD_ALLOWED_HOSTS",
            )
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}") and origin not in self._origins:
            raise Forbidden("origin_not_allowed", f"pages of {origin[:80]!r} may not use this server")
        for name in query:
            if len(query.getlist(name)) > 1:
                raise Malformed("invalid_query", f"the parameter {name[:80]!r} is there more than once")
        if TOKEN_PARAMETERS & {name.lower() for name in query}:
            raise Malformed(
                "token_in_address",
                "a token in an address ends up in logs and histories; send Authorization: Bearer <token>,"
                " or for a stream a ticket from POST /api/v1/tickets. Revoke the token if it was a real one",
            )


def _counted(receive: Receive, send: Send) -> Receive:
    """`receive` of a WebSocket that is closed with 1008 when its peer talks too much."""
    since, count = 0.0, 0

    async def counted() -> Message:
        nonlocal since, count
        message = await receive()
        if message["type"] == "websocket.receive":
            now = time.monotonic()
            if now - since > 1.0:
                since, count = now, 0
            count += 1
            if count > MESSAGES_PER_S:
                reason = f"more than {MESSAGES_PER_S} messages within a second"
                await send({"type": "websocket.close", "code": 1008, "reason": reason})
                return {"type": "websocket.disconnect", "code": 1008, "reason": reason}
        return message

    return counted


def _unavailable(error: KanadError) -> Unavailable:
    return error if isinstance(error, Unavailable) else Unavailable(error.code, error.message)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
