"""Who may ask: without tokens the server answers this machine alone, and no page of another site."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kanad_server.errors import Forbidden
from kanad_server.http.problems import of_refused
from kanad_server.people import LOCAL

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
]


class Guard:
    """ASGI middleware: exact `Host` and `Origin`, and the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it before anything else sees it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        refusal = _refusal(Headers(scope=scope))
        if refusal is None:
            scope["state"] = {**scope.get("state", {}), "person": LOCAL}
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await of_refused(refusal)(scope, receive, send_with_headers)
        else:
            await send({"type": "websocket.close", "code": 4403, "reason": refusal.message})


def _refusal(headers: Headers) -> Forbidden | None:
    host = headers.get("host", "")
    if _name(f"//{host}") not in LOCAL_NAMES:
        return Forbidden("host_not_served", f"this server answers to localhost, not to {host[:80]!r}")
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return Forbidden("origin_not_allowed", f"pages of {origin[:80]!r} may not use this server")
    return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
