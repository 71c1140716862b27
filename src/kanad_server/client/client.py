"""The async client."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from kanad_server.client import specs
from kanad_server.client.errors import ClientError, NotFound, SomeFailed
from kanad_server.client.line import PATIENCE_S, Line, decoded
from kanad_server.client.local import private_server
from kanad_server.client.run import Run
from kanad_server.client.specs import Described, MoleculeLike
from kanad_server.wire import (
    Accepted,
    Artifact,
    ArtifactPage,
    CampaignPage,
    CampaignPost,
    CampaignView,
    Estimate,
    Event,
    EventPage,
    Experiment,
    ExperimentPage,
    LibraryMolecule,
    Member,
    MethodPage,
    MoleculePage,
    ParsedMolecule,
    Result,
    Summary,
    System,
)

DEFAULT_URL = "http://127.0.0.1:8000"
EVENTS_AT_A_TIME = 10_000
T = TypeVar("T")
_JSON = {"Content-Type": "application/json"}


class Client:
    """Talks to one server. Enter it to open its connections; leaving closes them.

    A call over a line that breaks, or to a server that is restarting or busy, is sent again for up to `patience_s`
    seconds; a submission carries a key of its own, so that it never runs twice.

    Args:
        url: the server's address.
        token: who asks, where the server tells people apart.
        patience_s: how long to go on trying, seconds.
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._line: Line | None = None
        self._address, self._token, self._patience_s = url, token, patience_s
        self._private: AbstractAsyncContextManager[str] | None = None
        self._open = AsyncExitStack()

    @classmethod
    def local(cls, *, slots: int | None = None, data_dir: Path | str | None = None) -> Self:
        """A client with a private server of its own, which starts on entering and goes on leaving.

        Args:
            slots: experiments at a time; left out: as many as cores.
            data_dir: where everything is kept; left out: nowhere for longer than the server lives.
        """
        client = cls()
        client._private = private_server(slots=slots, data_dir=data_dir)
        return client

    @property
    def url(self) -> str:
        """The server's address; that of a private one is known once it runs."""
        return self._address

    async def __aenter__(self) -> Self:
        if self._private is not None:
            self._address = await self._open.enter_async_context(self._private)
        self._line = Line(self._address, self._token, self._patience_s)
        self._open.push_async_callback(self._line.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line = None
        await self._open.aclose()

    # One experiment

    async def submit(self, spec: Described | None = None, /, **fields: Any) -> Run:
        """Post an experiment: a spec, or its fields (or both: the fields win).

        ``submit(molecule="O=C", method="ccsd(t)", basis="cc-pvdz")``: `molecule` may be SMILES, XYZ text, a library
        name, a path or what a spec has, with `charge` and `multiplicity` beside it; `method` and `task` may be names.

        Raises:
            InvalidInput: the server refused it; `errors` names the fields.
            Unreachable: nobody answers.
        """
        headers = _JSON | {"Idempotency-Key": secrets.token_hex(16)}
        body = msgspec.json.encode(specs.build(spec, **fields))
        return Run(self, await self._ready.call("POST", "/experiments", Experiment, content=body, headers=headers))

    async def map(
        self,
        described: Iterable[Described],
        *,
        concurrency: int = 16,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Result]:
        """The results of many specs, in their order, with at most `concurrency` of them on the server at a time.

        Args:
            progress: called with how many have ended, and how many there are.

        Raises:
            SomeFailed: once all have ended, where some of them have no result; carries what became of each.
        """
        wanted = list(described)
        places = asyncio.Semaphore(concurrency)
        ended = 0

        async def one(spec: Described) -> Result | ClientError:
            nonlocal ended
            async with places:
                try:
                    found: Result | ClientError = await (await self.submit(spec)).result()
                except ClientError as error:
                    found = error
            ended += 1
            if progress is not None:
                progress(ended, len(wanted))
            return found

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(spec), name="map") for spec in wanted]
        outcomes = [task.result() for task in tasks]
        results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
        if len(results) < len(outcomes):
            raise SomeFailed(outcomes)
        return results

    # Many experiments

    async def submit_batch(self, described: Iterable[Described]) -> list[Run]:
        """Post up to 1000 specs, all or nothing.

        Raises:
            InvalidInput: the server refused them; `errors` names the fields of the bad ones (``$.experiments[3]...``).
            Unreachable: nobody answers.
        """
        body = {"experiments": [specs.build(one) for one in described]}
        return [Run(self, experiment) for experiment in (await self._post("/experiments/batch", body, Accepted)).items]

    async def submit_campaign(self, campaign: CampaignPost | dict[str, Any]) -> CampaignView:
        """Post a campaign: a template, and a grid or a list of patches.

        Raises:
            InvalidInput: the server refused it; `errors` names the fields of a bad member.
            Unreachable: nobody answers.
        """
        return await self._post("/campaigns", campaign, CampaignView)

    async def campaigns(self) -> AsyncGenerator[CampaignView, None]:
        """Every campaign, the newest first, page by page."""
        cursor: str | None = None
        while True:
            wanted = {} if cursor is None else {"cursor": cursor}
            page = await self._ready.call("GET", "/campaigns", CampaignPage, params=wanted)
            for campaign in page.items:
                yield campaign
            cursor = page.next_cursor
            if cursor is None:
                return

    async def campaign(self, campaign_id: str) -> CampaignView:
        """A campaign as it stands."""
        return await self._ready.call("GET", f"/campaigns/{campaign_id}", CampaignView)

    async def summary(self, campaign_id: str) -> list[Member]:
        """The table of a campaign, in the order in which it was posted."""
        return (await self._ready.call("GET", f"/campaigns/{campaign_id}/summary", Summary)).items

    async def cancel_campaign(self, campaign_id: str) -> CampaignView:
        """Ask for the end of every member of a campaign."""
        return await self._ready.call("POST", f"/campaigns/{campaign_id}/cancel", CampaignView)

    async def _post(self, path: str, body: object, kind: type[T]) -> T:
        """Post with a key of its own, so that it is never accepted twice."""
        headers = _JSON | {"Idempotency-Key": secrets.token_hex(16)}
        return await self._ready.call("POST", path, kind, content=msgspec.json.encode(body), headers=headers)

    async def run(self, experiment_id: str) -> Run:
        """An experiment that is on the server already."""
        return Run(self, await self.experiment(experiment_id))

    async def experiment(self, experiment_id: str) -> Experiment:
        """One experiment as it is now."""
        return await self._ready.call("GET", f"/experiments/{experiment_id}", Experiment)

    def events(self, experiment_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event behind `after`, each once and in order, to the end; a broken line is taken up again.

        Raises:
            NotFound: there is no such experiment.
            Unreachable: the server stayed away for longer than the patience lasts.
        """
        return self._ready.events(experiment_id, after)

    async def log(self, experiment_id: str, after: int = 0) -> list[Event]:
        """Every event behind `after` that there is now; does not wait for more."""
        found: list[Event] = []
        place: int | None = after
        while place is not None:
            asked = {"after": place, "limit": EVENTS_AT_A_TIME}
            page = await self._ready.call("GET", f"/experiments/{experiment_id}/events", EventPage, params=asked)
            found += page.items
            place = page.next_after
        return found

    async def result(self, experiment_id: str) -> Result:
        """The result of a completed experiment."""
        return await self._ready.call("GET", f"/experiments/{experiment_id}/result", Result)

    async def cancel(self, experiment_id: str) -> Experiment:
        """Ask for the end; asking again changes nothing."""
        return await self._ready.call("POST", f"/experiments/{experiment_id}/cancel", Experiment)

    async def reprioritise(self, experiment_id: str, priority: int) -> Experiment:
        """Give an experiment that waits another priority, -100 to 100; higher ones go first.

        Raises:
            Conflict: it waits no longer.
            InvalidInput: the priority is out of range.
        """
        body = msgspec.json.encode({"priority": priority})  # checked by the server, whose words say the rule
        return await self._ready.call("PATCH", f"/experiments/{experiment_id}", Experiment, content=body, headers=_JSON)

    async def retry(self, experiment_id: str) -> Run:
        """A new attempt of a failed or cancelled experiment; one, also where the line breaks under the answer.

        Raises:
            Conflict: it is queued, running or completed.
        """
        attempt = (await self.experiment(experiment_id)).attempt

        async def is_done() -> bool:
            return (await self.experiment(experiment_id)).attempt > attempt

        response = await self._ready.act("POST", f"/experiments/{experiment_id}/retry", is_done)
        return await self.run(experiment_id) if response is None else Run(self, decoded(response, Experiment))

    async def delete(self, experiment_id: str) -> None:
        """Forget an experiment that has ended, with its log, result and files.

        Raises:
            Conflict: it has not ended.
        """

        async def is_done() -> bool:
            try:
                await self.experiment(experiment_id)
            except NotFound:
                return True
            return False

        await self._ready.act("DELETE", f"/experiments/{experiment_id}", is_done)

    async def artifacts(self, experiment_id: str) -> list[Artifact]:
        """The files of a completed experiment."""
        return (await self._ready.call("GET", f"/experiments/{experiment_id}/artifacts", ArtifactPage)).items

    async def artifact(self, experiment_id: str, name: str) -> bytes:
        """One file of a completed experiment.

        Raises:
            NotFound: it has no such file.
            Conflict: it has not completed.
        """
        return (await self._ready.request("GET", f"/experiments/{experiment_id}/artifacts/{name}")).content

    async def download(self, experiment_id: str, name: str, to: Path | str | None = None) -> Path:
        """One file, written to `to` (a file or a folder; left out, `name` here); returns where."""
        target = Path(name if to is None else to)
        target = target / name if target.is_dir() else target
        content = await self.artifact(experiment_id, name)
        await asyncio.to_thread(target.write_bytes, content)
        return target

    # Many experiments, and what the server can do

    async def experiments(self, **filters: Any) -> AsyncGenerator[Experiment, None]:
        """Every experiment that fits the filters (`status`, `method`, `tag`, `q`, `sort`), page by page."""
        cursor: str | None = None
        while True:
            wanted = filters | ({} if cursor is None else {"cursor": cursor})
            page = await self._ready.call("GET", "/experiments", ExperimentPage, params=wanted)
            for experiment in page.items:
                yield experiment
            cursor = page.next_cursor
            if cursor is None:
                return

    async def estimate(self, spec: Described | None = None, /, **fields: Any) -> Estimate:
        """What an experiment would cost; takes what `submit` takes."""
        body = msgspec.json.encode(specs.build(spec, **fields))
        return await self._ready.call("POST", "/estimate", Estimate, content=body, headers=_JSON)

    async def parse(self, molecule: MoleculeLike) -> ParsedMolecule:
        """A molecule, resolved to nuclei."""
        body = msgspec.json.encode(specs.molecule_of(molecule))
        return await self._ready.call("POST", "/molecules/parse", ParsedMolecule, content=body, headers=_JSON)

    async def molecules(self) -> list[LibraryMolecule]:
        """The library of experimental geometries."""
        return (await self._ready.call("GET", "/molecules", MoleculePage)).items

    async def methods(self) -> MethodPage:
        """Every method and task, with options."""
        return await self._ready.call("GET", "/methods", MethodPage)

    async def system(self) -> System:
        """Versions, slots and queue length."""
        return await self._ready.call("GET", "/system", System)

    @property
    def _ready(self) -> Line:
        if self._line is None:
            raise RuntimeError("enter the client first: async with Client(...) as client")
        return self._line
