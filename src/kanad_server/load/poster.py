"""HTTP with little CPU of its own: h11 over asyncio's streams, connections kept."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import h11
import msgspec

from kanad_server import address as addresses
from kanad_server.load.errors import BadScenario
from kanad_server.wire import Problem

T = TypeVar("T")

ANSWER_S = 30.0
_READ_BYTES = 64 * 1024


class Answer(msgspec.Struct, frozen=True):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """Whether the server had too much to do: to be counted apart from errors."""
        return self.status in (429, 503)

    @property
    def code(self) -> str:
        """The stable code of a problem, or the status."""
        try:
            return msgspec.json.decode(self.body, type=Problem).code
        except msgspec.MsgspecError:
            return f"http_{self.status}"

    def as_a(self, kind: type[T]) -> T:
        """The body, decoded."""
        return msgspec.json.decode(self.body, type=kind)


class Address(msgspec.Struct, frozen=True):
    """A server and how to ask it."""

    host: str
    port: int
    secure: bool
    base: str
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    @property
    def many(self) -> str:
        """The address of the WebSocket for many experiments."""
        return f"ws{self.base.removeprefix('http')}/api/v1/stream"

    def stream(self, experiment_id: str, after: int) -> str:
        """The address of an experiment's WebSocket."""
        return f"ws{self.base.removeprefix('http')}/api/v1/experiments/{experiment_id}/stream?after={after}"


def parse_address(url: str, token: str | None = None) -> Address:
    """The server at `url`.

    Raises:
        BadScenario: it is no http or https address.
    """
    try:
        parts = addresses.parse(url)
    except ValueError as error:
        raise BadScenario(f"--url {error}") from None
    secure = parts.scheme == "https"
    return Address(str(parts.hostname), parts.port or (443 if secure else 80), secure, url.rstrip("/"), token)


class Poster:
    """A pool of connections to one server. Leaving it closes them."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[_Connection] = []
        self._secure = ssl.create_default_context() if address.secure else None
        parts = urlsplit(address.base)
        self._prefix, self._host = parts.path, parts.netloc.rpartition("@")[2]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()

    async def get(self, path: str) -> Answer:
        """GET a path below ``/api/v1``."""
        return await self._call("GET", path, b"", {})

    async def post(self, path: str, value: Any) -> Answer:
        """POST a value as JSON. A key of its own keeps a connection that was closed meanwhile from posting twice."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        return await self._call(
            "POST", path, value if isinstance(value, bytes) else msgspec.json.encode(value), headers
        )

    async def _call(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        headers = {
            "Host": self._host, "Content-Length": str(len(body)), **self._address.headers, **headers,
        }  # fmt: skip
        request = h11.Request(method=method, target=f"{self._prefix}/api/v1{path}", headers=list(headers.items()))
        while True:
            connection = self._idle.pop() if self._idle else None
            was_kept = connection is not None
            try:
                async with asyncio.timeout(ANSWER_S):
                    if connection is None:
                        connection = await self._connect()
                    answer = await connection.exchange(request, body)
            except BaseException as error:
                if connection is not None:
                    connection.close()
                if was_kept and isinstance(error, OSError | h11.RemoteProtocolError | EOFError):
                    continue  # the server has closed what it kept; ask on another one
                if isinstance(error, h11.RemoteProtocolError | EOFError):
                    raise ConnectionResetError("the connection broke before the answer") from error
                raise
            if connection.is_reusable():
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    async def _connect(self) -> _Connection:
        return _Connection(*await asyncio.open_connection(self._address.host, self._address.port, ssl=self._secure))


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        state = self._state
        parts = [state.send(request), state.send(h11.Data(data=body)) if body else b"", state.send(h11.EndOfMessage())]
        self._writer.write(b"".join(part for part in parts if part))
        received = bytearray()
        head: h11.Response | None = None
        while True:
            event = state.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(_READ_BYTES)
                state.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                received += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                return Answer(head.status_code, headers, bytes(received))
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError

    def is_reusable(self) -> bool:
        """Whether it can carry another request; it is made ready for it."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return not self._reader.at_eof()

    def close(self) -> None:
        self._writer.transport.abort()
