"""One experiment on the server, as a program holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanad_server.client.errors import failure
from kanad_server.wire import Artifact, Event, Experiment, ParsedMolecule, Result

if TYPE_CHECKING:
    from cclib.parser.data import ccData
    from pandas import DataFrame

    from kanad_server.client.client import Client


class Run:
    """One experiment on the server; `experiment` is how the client last saw it."""

    def __init__(self, client: Client, experiment: Experiment) -> None:
        self._client = client
        self.experiment = experiment
        self._shown: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.experiment.status}>"

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.experiment.id

    @property
    def status(self) -> str:
        """The state in which the client last saw it."""
        return self.experiment.status

    async def refresh(self) -> Experiment:
        """The experiment as it is now."""
        self.experiment = await self._client.experiment(self.id)
        return self.experiment

    def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event behind `after`, each once and in order, to the end; a broken line is taken up again.

        Raises:
            Unreachable: the server stayed away for longer than the client's patience.
        """
        return self._client.events(self.id, after)

    async def log(self, after: int = 0) -> list[Event]:
        """Every event behind `after` that there is now; does not wait for more."""
        return await self._client.log(self.id, after)

    async def parsed(self) -> ParsedMolecule:
        """The molecule that was asked for, resolved to nuclei."""
        return await self._client.parse(self.experiment.spec.molecule)

    async def to_dataframe(self) -> DataFrame:
        """The log so far as a pandas table, a row for each event.

        Raises:
            ImportError: pandas is not installed (the extra ``notebook``).
        """
        from kanad_server.client.notebook import dataframe

        return dataframe(await self.log())

    async def to_cclib(self) -> ccData:
        """The result as cclib's data, in cclib's names and units, once the run has ended.

        Raises:
            ExperimentFailed: it failed or was cancelled (a subclass by code).
            ImportError: cclib is not installed (the extra ``cclib``).
            ValueError: the result has no structure.
        """
        from kanad_server.client.cclib import data_of

        result = await self.result()
        return data_of(self.experiment, result, await self.parsed())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """A live widget in a notebook; a still picture where anywidget is missing."""
        from kanad_server.client import notebook
        from kanad_server.client.view import View

        view = View(self.experiment)
        if not notebook.has_widgets():
            return {"text/plain": repr(self), "text/html": view.html()}
        shown = notebook.widget(view)
        following = notebook.follow(self, view, partial(setattr, shown, "view"))
        self._shown = asyncio.get_running_loop().create_task(following, name="notebook")  # held, or it may vanish
        return shown._repr_mimebundle_()

    async def ended(self, timeout: float | None = None) -> Experiment:
        """The experiment once it has ended, however that was.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; it goes on.
        """
        async with asyncio.timeout(timeout):
            while not self.experiment.is_final:
                async for _ in self.events(self.experiment.last_seq):
                    pass
                await self.refresh()
        return self.experiment

    async def result(self, timeout: float | None = None) -> Result:
        """Wait for the end and fetch the result.

        Raises:
            ExperimentFailed: it failed or was cancelled (a subclass by code).
            TimeoutError: it has not ended within `timeout` seconds; it goes on.
        """
        if (await self.ended(timeout)).status != "completed":
            raise failure(self.experiment)
        return await self._client.result(self.id)

    async def cancel(self) -> Experiment:
        """Ask for the end; asking again changes nothing."""
        self.experiment = await self._client.cancel(self.id)
        return self.experiment

    async def reprioritise(self, priority: int) -> Experiment:
        """Give it another priority while it waits, -100 to 100; higher ones go first.

        Raises:
            Conflict: it waits no longer.
            InvalidInput: the priority is out of range.
        """
        self.experiment = await self._client.reprioritise(self.id, priority)
        return self.experiment

    async def retry(self) -> Experiment:
        """A new attempt of a failed or cancelled experiment.

        Raises:
            Conflict: it is queued, running or completed.
        """
        self.experiment = (await self._client.retry(self.id)).experiment
        return self.experiment

    async def artifacts(self) -> list[Artifact]:
        """The files that it has."""
        return await self._client.artifacts(self.id)

    async def download(self, name: str, to: Path | str | None = None) -> Path:
        """One of its files, written to `to` (a file or a folder; left out, `name` here); returns where.

        Raises:
            NotFound: it has no such file.
        """
        return await self._client.download(self.id, name, to)
