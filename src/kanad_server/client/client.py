"""The async client."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import websockets
from websockets.asyncio.client import connect

from kanad_server.client.errors import ApiError, ExperimentFailed, Unreachable
from kanad_server.wire import (
    Estimate,
    Event,
    Experiment,
    ExperimentPage,
    MethodPage,
    Problem,
    Result,
    System,
)
from kanad_solvers.spec import Spec

T = TypeVar("T")

SUBPROTOCOL = websockets.Subprotocol("kanad.v1.json")
ATTEMPTS = 6
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
DONE, NOT_FOUND, BAD_REQUEST = 1000, 4404, 4400

_decode_events = msgspec.json.Decoder(Event | list[Event]).decode


class Run:
    """One experiment on the server, as the client last saw it."""

    def __init__(self, client: Client, experiment: Experiment) -> None:
        self._client = client
        self.experiment = experiment

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.experiment.id

    async def refresh(self) -> Experiment:
        """The experiment as it is now."""
        self.experiment = await self._client.experiment(self.id)
        return self.experiment

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Every event behind `after`, each once and in order, to the end; a broken line is taken up again.

        Raises:
            Unreachable: the server stayed away over several attempts.
        """
        async for event in self._client.events(self.id, after):
            yield event

    async def result(self) -> Result:
        """Wait for the end and fetch the result.

        Raises:
            ExperimentFailed: it failed or was cancelled.
        """
        if not self.experiment.is_final:
            async for _ in self.events(self.experiment.last_seq):
                pass
            await self.refresh()
        if self.experiment.status != "completed":
            raise ExperimentFailed(self.experiment)
        return await self._client.result(self.id)

    async def cancel(self) -> Experiment:
        """Ask for the end."""
        self.experiment = await self._client.cancel(self.id)
        return self.experiment


class Client:
    """Talks to one server. Enter it to open its connections; leaving closes them."""

    def __init__(self, url: str = "http://127.0.0.1:8000") -> None:
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=f"{self._url}/api/v1", timeout=30.0, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def submit(self, spec: Spec | dict[str, Any]) -> Run:
        """Post a spec. A key of its own makes it safe to post again when the line breaks: it never runs twice.

        Raises:
            ApiError: the server refused it.
            Unreachable: no answer over several attempts.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16), "Content-Type": "application/json"}
        body = msgspec.json.encode(spec)
        return Run(self, await self._call("POST", "/experiments", Experiment, content=body, headers=headers))

    async def run(self, experiment_id: str) -> Run:
        """An experiment that is on the server already."""
        return Run(self, await self.experiment(experiment_id))

    async def experiment(self, experiment_id: str) -> Experiment:
        """One experiment."""
        return await self._call("GET", f"/experiments/{experiment_id}", Experiment)

    async def experiments(self, **filters: Any) -> AsyncIterator[Experiment]:
        """Every experiment that fits the filters (`status`, `method`, `tag`, `q`, `sort`), page by page."""
        cursor: str | None = None
        while True:
            wanted = filters | ({} if cursor is None else {"cursor": cursor})
            page = await self._call("GET", "/experiments", ExperimentPage, params=wanted)
            for experiment in page.items:
                yield experiment
            cursor = page.next_cursor
            if cursor is None:
                return

    async def result(self, experiment_id: str) -> Result:
        """The result of a completed experiment."""
        return await self._call("GET", f"/experiments/{experiment_id}/result", Result)

    async def cancel(self, experiment_id: str) -> Experiment:
        """Ask for the end."""
        return await self._call("POST", f"/experiments/{experiment_id}/cancel", Experiment)

    async def retry(self, experiment_id: str) -> Run:
        """A new attempt of a failed or cancelled experiment."""
        return Run(self, await self._call("POST", f"/experiments/{experiment_id}/retry", Experiment))

    async def estimate(self, spec: Spec | dict[str, Any]) -> Estimate:
        """What a spec would cost."""
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(spec)
        return await self._call("POST", "/estimate", Estimate, content=body, headers=headers)

    async def methods(self) -> MethodPage:
        """Every method and task."""
        return await self._call("GET", "/methods", MethodPage)

    async def system(self) -> System:
        """Versions, slots and queue length."""
        return await self._call("GET", "/system", System)

    async def events(self, experiment_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Every event behind `after`, each once and in order, to the end; a broken line is taken up again.

        Raises:
            ApiError: there is no such experiment.
            Unreachable: the server stayed away over several attempts.
        """
        failures = 0
        while True:
            address = f"ws{self._url.removeprefix('http')}/api/v1/experiments/{experiment_id}/stream?after={after}"
            try:
                async with connect(
                    address, subprotocols=[SUBPROTOCOL], max_size=None, proxy=None, compression=None
                ) as socket:
                    async for frame in socket:
                        decoded = _decode_events(frame)
                        for event in decoded if isinstance(decoded, list) else [decoded]:
                            if event.seq > after:
                                after = event.seq
                                failures = 0
                                yield event
                code, reason = socket.close_code, socket.close_reason or ""
            except websockets.ConnectionClosedError as error:
                code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, str(error))
            except (OSError, websockets.InvalidHandshake, TimeoutError) as error:
                code, reason = 1006, str(error)
            if code == DONE:
                return
            if code in (NOT_FOUND, BAD_REQUEST):
                status, name = (404, "not_found") if code == NOT_FOUND else (400, "invalid_query")
                raise ApiError(Problem(title=name, status=status, detail=reason, code=name))
            failures += 1
            if failures >= ATTEMPTS:
                raise Unreachable(f"{self._url}: the event stream could not be resumed: {reason}")
            await asyncio.sleep(_pause(failures))

    async def _call(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        failures = 0
        while True:
            retry_after = 0.0
            try:
                response = await self._http.request(method, path, **options)
            except httpx.TransportError as error:
                failure: Exception = Unreachable(f"{self._url} does not answer: {error or type(error).__name__}")
                if isinstance(error, httpx.ConnectError) and failures == 0:
                    raise failure from error  # nobody is there; waiting is for lines that break
            else:
                if response.is_success:
                    return msgspec.json.decode(response.content, type=kind)
                failure = ApiError(_problem(response))
                if response.status_code not in (429, 503):
                    raise failure
                retry_after = float(response.headers.get("retry-after", 0))
            failures += 1
            if failures >= ATTEMPTS:
                raise failure
            await asyncio.sleep(max(_pause(failures), min(retry_after, LONGEST_PAUSE_S)))


def _pause(failures: int) -> float:
    return float(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))


def _problem(response: httpx.Response) -> Problem:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except msgspec.MsgspecError:
        return Problem(
            title="Unexpected answer",
            status=response.status_code,
            detail="this does not seem to be a kanad-server",
            code="unexpected_answer",
        )
