"""One line to one server: calls that are tried again, and an event stream that is taken up where it broke."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import httpx
import msgspec
import websockets
from websockets.asyncio.client import connect

from kanad_server import address
from kanad_server.client.errors import ApiError, Unavailable, Unreachable, refusal
from kanad_server.wire import Event, Problem

T = TypeVar("T")

SUBPROTOCOL = websockets.Subprotocol("kanad.v1.json")
API = "/api/v1"
PATIENCE_S = 60.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
CALL_TIMEOUT_S = 30.0
DONE = 1000
_REFUSED = {
    4400: (400, "invalid_query"), 4401: (401, "unauthorized"), 4403: (403, "forbidden"), 4404: (404, "not_found"),
}  # fmt: skip

_decode_events = msgspec.json.Decoder(Event | list[Event]).decode


class Patience:
    """How long to go on trying: pauses that double, with jitter, until `limit_s` have passed without success."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        """Something worked."""
        self._since: float | None = None
        self._pause_s = FIRST_PAUSE_S

    async def pause(self, at_least_s: float = 0.0) -> bool:
        """Wait before the next try; False, at once, where there should be none."""
        now = time.monotonic()
        self._since = self._since or now
        wait_s = max(self._pause_s * random.uniform(0.5, 1.0), at_least_s)  # noqa: S311 - jitter is no secret
        if now + wait_s > self._since + self._limit_s:
            return False
        await asyncio.sleep(wait_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return True


def _no_authorities() -> ssl.SSLContext:
    """For calls in the clear: it trusts nobody, and is made at once; to read all authorities takes some 45 ms."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Line:
    """Calls and streams to the server at `url`; `patience_s` bounds how long a broken line is tried again."""

    def __init__(self, url: str, token: str | None, patience_s: float) -> None:
        try:
            secure = address.parse(url).scheme == "https"
        except ValueError as error:
            raise ValueError(f"a server's address {error}") from None
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=self.url + API, timeout=CALL_TIMEOUT_S, trust_env=False, headers=self._headers,
            verify=True if secure else _no_authorities(),
        )  # fmt: skip
        self._has_answered = False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        """The answer to a request that may be sent twice.

        Raises:
            ApiError: the server refused it (a subclass by status and code).
            Unreachable: nobody answers: at once where nobody ever did, else when the patience is over.
        """
        return decoded(await self.request(method, path, **options), kind)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """As `call`, undecoded."""
        patience = Patience(self._patience_s)
        while True:
            try:
                return await self._once(method, path, **options)
            except (Unreachable, Unavailable) as error:
                await self._pause(patience, error)

    async def act(self, method: str, path: str, is_done: Callable[[], Awaitable[bool]]) -> httpx.Response | None:
        """A request that must not be met twice: where its answer was lost, `is_done` looks before it is sent again.

        Returns its answer; None where that was lost, and it is done.
        """
        patience = Patience(self._patience_s)
        while True:
            try:
                return await self._once(method, path)
            except (Unreachable, Unavailable) as error:
                await self._pause(patience, error)
            if await is_done():
                return None

    async def _pause(self, patience: Patience, error: Unreachable | Unavailable) -> None:
        """Wait before the next try; raises the error where there should be none."""
        if isinstance(error, Unreachable):
            is_nobody_there = isinstance(error.__cause__, httpx.ConnectError) and not self._has_answered
            if is_nobody_there or not await patience.pause():
                raise error
        elif not await patience.pause(min(error.retry_after_s, LONGEST_PAUSE_S)):
            raise error

    async def _once(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One try."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from error
        self._has_answered = True
        if response.is_success:
            return response
        raise _refusal(response)

    async def events(self, experiment_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event behind `after`, each once and in order, to the end; a broken line is taken up again.

        Raises:
            ApiError: there is no such experiment, or it may not be seen.
            Unreachable: the server stayed away for longer than the patience lasts.
        """
        patience = Patience(self._patience_s)
        while True:
            code, reason = 1006, "the line broke"
            stream = f"ws{self.url.removeprefix('http')}{API}/experiments/{experiment_id}/stream?after={after}"
            try:
                async with connect(
                    stream, subprotocols=[SUBPROTOCOL], max_size=None, proxy=None, compression=None,
                    additional_headers=self._headers,
                ) as socket:  # fmt: skip
                    async for frame in socket:
                        found = _decode_events(frame)
                        for event in found if isinstance(found, list) else [found]:
                            if event.seq > after:
                                after = event.seq
                                patience.renew()
                                yield event
                code, reason = socket.close_code or 1006, socket.close_reason or ""
            except websockets.ConnectionClosedError as error:
                code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, str(error))
            except websockets.InvalidStatus as error:
                if error.response.status_code in (401, 403, 404):
                    raise refusal(_unexpected(error.response.status_code, str(error))) from error
                reason = str(error)
            except msgspec.MsgspecError as error:
                words = f"{stream} sends an event that this client does not know; is one of them newer? {error}"
                raise refusal(_unexpected(200, words)) from error
            except (OSError, EOFError, websockets.InvalidHandshake, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            if code == DONE:
                return
            if code in _REFUSED:
                status, name = _REFUSED[code]
                raise refusal(Problem(title=name, status=status, detail=reason, code=name))
            if not await patience.pause():
                raise Unreachable(f"{self.url}: the event stream could not be resumed: {reason}")


def decoded(response: httpx.Response, kind: type[T]) -> T:
    """What an answer says.

    Raises:
        ApiError: it is nothing that this client understands.
    """
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        words = f"{response.url} answers what is none of kanad-server's answers, or that of another version: {error}"
        raise refusal(_unexpected(response.status_code, words)) from error


def _refusal(response: httpx.Response) -> ApiError:
    try:
        error = refusal(msgspec.json.decode(response.content, type=Problem))
    except msgspec.MsgspecError:
        error = refusal(_unexpected(response.status_code, f"{response.url} does not seem to be a kanad-server's"))
    if isinstance(error, Unavailable):
        after = response.headers.get("retry-after", "")
        error.retry_after_s = float(after) if after.isascii() and after.isdigit() else 0.0
    return error


def _unexpected(status: int, words: str) -> Problem:
    return Problem(title="Unexpected answer", status=status, detail=words, code="unexpected_answer")
