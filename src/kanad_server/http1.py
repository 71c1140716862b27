"""HTTP/1.1 and nothing else, read strictly: what two servers could understand in two ways is refused with 400.

hypercorn would also speak HTTP/2 in the clear, and h11 is lenient where the standard allows it: folded lines, bare line
feeds, a length beside chunks, the same length twice, an absolute address whose host is not that of `Host`. A proxy in
front may read those otherwise than we do, and a request could be smuggled past it.
"""

from __future__ import annotations

import re
from typing import Any

import h11
import msgspec
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol

from kanad_server.http.headers import secured
from kanad_server.wire import Problem

_BAD_LINE = re.compile(rb"(?<!\r)\n|\n[ \t]|\r(?!\n)")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:", re.IGNORECASE)
_CODING = re.compile(rb"\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_TITLES = {
    400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 501: "Not Implemented",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


def refusal(status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> tuple[Any, bytes]:
    """Headers and body of an answer below the application."""
    problem = Problem(title=_TITLES.get(status, "Refused"), status=status, detail=detail, code=code)
    body = msgspec.json.encode(problem)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    return secured(headers), body


def ambiguity(head: bytes) -> str | None:
    """Why the beginning of a request can be read in two ways; None where it cannot."""
    head = head.partition(b"\r\n\r\n")[0]
    if _BAD_LINE.search(head.removesuffix(b"\r")):
        return "lines end with CR LF, and none is folded"
    lengths = len(_LENGTH.findall(head))
    if lengths > 1 or (lengths and _CODING.search(head)):
        return "a body has one Content-Length, or chunks, and not both"
    return None


class Http1(H11Protocol):
    """hypercorn's HTTP/1.1, without its ways to HTTP/2, and strict."""

    async def handle(self, event: Event) -> None:
        """Look at the head of a request before h11 does."""
        if isinstance(event, RawData) and self.connection.their_state is h11.IDLE:
            reason = ambiguity(self.connection.trailing_data[0] + event.data)
            if reason is not None:
                await self._refuse(400, reason)
                return
        await super().handle(event)

    async def stream_send(self, event: Any) -> None:
        """Every answer has the headers that it should have.

        One that comes before the whole request has been read says that the connection ends with it: hypercorn closes
        it, and a client that did not know would send its next request into the void.
        """
        if isinstance(event, Response) and event.status_code >= 200:
            headers = secured(event.headers)
            if self.connection.their_state is h11.SEND_BODY:
                headers.append((b"connection", b"close"))
            event = Response(stream_id=event.stream_id, headers=headers, status_code=event.status_code)
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Called for each request; an offer to upgrade to HTTP/2 is ignored, as the standard allows."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in (b"1.1", b"1.0"):
            await self._refuse(505, "this server speaks HTTP/1.1")
        elif not request.target.startswith(b"/"):
            await self._refuse(400, "the address must be a path; the host belongs into Host")
        else:
            await super()._create_stream(request)

    async def _maybe_recycle(self) -> None:
        reason = ambiguity(self.connection.trailing_data[0])
        if reason is None:
            await super()._maybe_recycle()
        else:  # a request behind this one, read already
            await self._close_stream()
            await self.can_read.set()
            await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        detail = "the head of the request is too long" if status_code == 431 else "the request breaks the rules of HTTP"
        await self._answer(status_code, detail)

    async def _refuse(self, status: int, detail: str) -> None:
        await self._answer(status, detail)
        await self.send(Closed())

    async def _answer(self, status: int, detail: str) -> None:
        headers, body = refusal(status, "malformed_request", detail)
        await self._send_h11_event(h11.Response(status_code=status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
