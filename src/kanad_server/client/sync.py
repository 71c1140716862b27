"""The client without `await`: for scripts, notebooks and the prompt.

A loop of its own runs in a thread of its own, so that it works where another loop runs already (in a notebook).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kanad_server.client.client import DEFAULT_URL, Client
from kanad_server.client.line import PATIENCE_S
from kanad_server.client.run import Run
from kanad_server.client.specs import Described, MoleculeLike
from kanad_server.wire import (
    Artifact,
    CampaignPost,
    CampaignView,
    Estimate,
    Event,
    Experiment,
    LibraryMolecule,
    Member,
    MethodPage,
    ParsedMolecule,
    Result,
    System,
)  # fmt: skip

if TYPE_CHECKING:
    from cclib.parser.data import ccData
    from pandas import DataFrame

T = TypeVar("T")


class Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._beside: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kanad-client", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; when the wait is interrupted (Ctrl-C), `work` is cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` run beside what is waited for, until `settle`."""

        async def begun() -> None:
            task = asyncio.create_task(work, name="beside")
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

        self.wait(begun())

    def settle(self) -> None:
        """End what runs beside."""

        async def ended() -> None:
            for task in self._beside:
                task.cancel()
            await asyncio.gather(*self._beside, return_exceptions=True)

        self.wait(ended())

    def walk(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """The items, one after the other, as they come."""

        async def following() -> tuple[T] | None:
            async for item in items:
                return (item,)
            return None

        async def closing() -> None:
            await items.aclose()

        try:
            while (found := self.wait(following())) is not None:
                yield found[0]
        finally:
            self.wait(closing())

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncRun:
    """A `Run` without `await`."""

    def __init__(self, loop: Loop, run: Run) -> None:
        self._loop, self._run = loop, run

    def __repr__(self) -> str:
        return repr(self._run)

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self._run.id

    @property
    def status(self) -> str:
        """The state in which the client last saw it."""
        return self._run.status

    @property
    def experiment(self) -> Experiment:
        """The experiment as the client last saw it."""
        return self._run.experiment

    def refresh(self) -> Experiment:
        """As `Run.refresh`."""
        return self._loop.wait(self._run.refresh())

    def events(self, after: int = 0) -> Iterator[Event]:
        """As `Run.events`."""
        return self._loop.walk(self._run.events(after))

    def log(self, after: int = 0) -> list[Event]:
        """As `Run.log`."""
        return self._loop.wait(self._run.log(after))

    def parsed(self) -> ParsedMolecule:
        """As `Run.parsed`."""
        return self._loop.wait(self._run.parsed())

    def to_dataframe(self) -> DataFrame:
        """As `Run.to_dataframe`."""
        return self._loop.wait(self._run.to_dataframe())

    def to_cclib(self) -> ccData:
        """As `Run.to_cclib`."""
        return self._loop.wait(self._run.to_cclib())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """A live widget in a notebook; a still picture where anywidget is missing."""
        from kanad_server.client import notebook
        from kanad_server.client.view import View

        if not notebook.has_widgets():
            view = self._loop.wait(notebook.snapshot(self._run))
            return {"text/plain": view.text(), "text/html": view.html()}
        view = View(self.experiment)
        shown = notebook.widget(view)
        self._loop.start(notebook.follow(self._run, view, partial(setattr, shown, "view")))
        return shown._repr_mimebundle_()

    def ended(self, timeout: float | None = None) -> Experiment:
        """As `Run.ended`."""
        return self._loop.wait(self._run.ended(timeout))

    def result(self, timeout: float | None = None) -> Result:
        """As `Run.result`."""
        return self._loop.wait(self._run.result(timeout))

    def cancel(self) -> Experiment:
        """As `Run.cancel`."""
        return self._loop.wait(self._run.cancel())

    def reprioritise(self, priority: int) -> Experiment:
        """As `Run.reprioritise`."""
        return self._loop.wait(self._run.reprioritise(priority))

    def retry(self) -> Experiment:
        """As `Run.retry`."""
        return self._loop.wait(self._run.retry())

    def artifacts(self) -> list[Artifact]:
        """As `Run.artifacts`."""
        return self._loop.wait(self._run.artifacts())

    def download(self, name: str, to: Path | str | None = None) -> Path:
        """As `Run.download`."""
        return self._loop.wait(self._run.download(name, to))


class SyncClient:
    """A `Client` without `await`: the same names, arguments and errors. Close it, or use it as a context."""

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._enter(Client(url, token, patience_s=patience_s))

    @classmethod
    def local(cls, *, slots: int | None = None, data_dir: Path | str | None = None) -> Self:
        """As `Client.local`."""
        client = cls.__new__(cls)
        client._enter(Client.local(slots=slots, data_dir=data_dir))
        return client

    def _enter(self, client: Client) -> None:
        self._loop, self._client = Loop(), client
        try:
            self._loop.wait(client.__aenter__())
        except BaseException:
            self._loop.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and end the private server if there is one."""
        self._loop.settle()
        self._loop.wait(self._client.__aexit__(None, None, None))
        self._loop.stop()

    @property
    def url(self) -> str:
        """As `Client.url`."""
        return self._client.url

    def submit(self, spec: Described | None = None, /, **fields: Any) -> SyncRun:
        """As `Client.submit`."""
        return SyncRun(self._loop, self._loop.wait(self._client.submit(spec, **fields)))

    def map(
        self,
        described: Iterable[Described],
        *,
        concurrency: int = 16,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Result]:
        """As `Client.map`; `progress` is called in another thread."""
        return self._loop.wait(self._client.map(described, concurrency=concurrency, progress=progress))

    def submit_batch(self, described: Iterable[Described]) -> list[SyncRun]:
        """As `Client.submit_batch`."""
        return [SyncRun(self._loop, run) for run in self._loop.wait(self._client.submit_batch(described))]

    def submit_campaign(self, campaign: CampaignPost | dict[str, Any]) -> CampaignView:
        """As `Client.submit_campaign`."""
        return self._loop.wait(self._client.submit_campaign(campaign))

    def campaigns(self) -> Iterator[CampaignView]:
        """As `Client.campaigns`."""
        return self._loop.walk(self._client.campaigns())

    def campaign(self, campaign_id: str) -> CampaignView:
        """As `Client.campaign`."""
        return self._loop.wait(self._client.campaign(campaign_id))

    def summary(self, campaign_id: str) -> list[Member]:
        """As `Client.summary`."""
        return self._loop.wait(self._client.summary(campaign_id))

    def cancel_campaign(self, campaign_id: str) -> CampaignView:
        """As `Client.cancel_campaign`."""
        return self._loop.wait(self._client.cancel_campaign(campaign_id))

    def run(self, experiment_id: str) -> SyncRun:
        """As `Client.run`."""
        return SyncRun(self._loop, self._loop.wait(self._client.run(experiment_id)))

    def experiment(self, experiment_id: str) -> Experiment:
        """As `Client.experiment`."""
        return self._loop.wait(self._client.experiment(experiment_id))

    def events(self, experiment_id: str, after: int = 0) -> Iterator[Event]:
        """As `Client.events`."""
        return self._loop.walk(self._client.events(experiment_id, after))

    def log(self, experiment_id: str, after: int = 0) -> list[Event]:
        """As `Client.log`."""
        return self._loop.wait(self._client.log(experiment_id, after))

    def result(self, experiment_id: str) -> Result:
        """As `Client.result`."""
        return self._loop.wait(self._client.result(experiment_id))

    def cancel(self, experiment_id: str) -> Experiment:
        """As `Client.cancel`."""
        return self._loop.wait(self._client.cancel(experiment_id))

    def reprioritise(self, experiment_id: str, priority: int) -> Experiment:
        """As `Client.reprioritise`."""
        return self._loop.wait(self._client.reprioritise(experiment_id, priority))

    def retry(self, experiment_id: str) -> SyncRun:
        """As `Client.retry`."""
        return SyncRun(self._loop, self._loop.wait(self._client.retry(experiment_id)))

    def delete(self, experiment_id: str) -> None:
        """As `Client.delete`."""
        self._loop.wait(self._client.delete(experiment_id))

    def artifacts(self, experiment_id: str) -> list[Artifact]:
        """As `Client.artifacts`."""
        return self._loop.wait(self._client.artifacts(experiment_id))

    def artifact(self, experiment_id: str, name: str) -> bytes:
        """As `Client.artifact`."""
        return self._loop.wait(self._client.artifact(experiment_id, name))

    def download(self, experiment_id: str, name: str, to: Path | str | None = None) -> Path:
        """As `Client.download`."""
        return self._loop.wait(self._client.download(experiment_id, name, to))

    def experiments(self, **filters: Any) -> Iterator[Experiment]:
        """As `Client.experiments`."""
        return self._loop.walk(self._client.experiments(**filters))

    def estimate(self, spec: Described | None = None, /, **fields: Any) -> Estimate:
        """As `Client.estimate`."""
        return self._loop.wait(self._client.estimate(spec, **fields))

    def parse(self, molecule: MoleculeLike) -> ParsedMolecule:
        """As `Client.parse`."""
        return self._loop.wait(self._client.parse(molecule))

    def molecules(self) -> list[LibraryMolecule]:
        """As `Client.molecules`."""
        return self._loop.wait(self._client.molecules())

    def methods(self) -> MethodPage:
        """As `Client.methods`."""
        return self._loop.wait(self._client.methods())

    def system(self) -> System:
        """As `Client.system`."""
        return self._loop.wait(self._client.system())
