"""The board: how every experiment stands, for those who watch many. The newest state of each, never a backlog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from kanad_server.batch import Batch, Message, in_batches
from kanad_server.wire import Experiment, ExperimentSummary

PAUSE_S = 0.1
"""A change is shown at once when the board was still, and otherwise together with all others of so long."""

_encode = msgspec.json.Encoder().encode


class Standing:
    """How an experiment stands, put into words once, if anybody wants to hear them."""

    __slots__ = ("_summary", "experiment")

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._summary: Message | None = None

    @property
    def summary(self) -> Message:
        """The words."""
        if self._summary is None:
            text = _encode(ExperimentSummary.of(self.experiment)).decode()
            self._summary = Message(text, self.experiment.last_seq)
        return self._summary


class Watcher:
    """Somebody who watches; `due` holds the newest state of each experiment that changed since it was taken."""

    def __init__(self, wants: Callable[[Experiment], bool], status: str) -> None:
        self._wants = wants
        self._status = status
        self._shown: set[str] = set()
        self._due: dict[str, Standing] = {}
        self._changed = asyncio.Event()

    async def news(self) -> list[Standing]:
        """Wait for changes; takes all that are due."""
        await self._changed.wait()
        self._changed.clear()
        news, self._due = list(self._due.values()), {}
        return news

    async def changed(self) -> list[Batch]:
        """`news` as summaries."""
        return in_batches([standing.summary for standing in await self.news()])

    def see(self, standing: Standing) -> None:
        """Keep it, if it is wanted: the state fits, or no longer does and the watcher has to know."""
        experiment = standing.experiment
        if not self._wants(experiment):
            return
        if self._status != "*":
            if experiment.status == self._status:
                self._shown.add(experiment.id)
            elif experiment.id in self._shown:
                self._shown.discard(experiment.id)
            else:
                return
        self._due[experiment.id] = standing
        self._changed.set()


class Board:
    """Collects changes and shows them to all watchers."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._dirty: dict[str, Experiment] = {}
        self._showing: asyncio.TimerHandle | None = None
        self._shown_at = 0.0

    def note(self, experiment: Experiment) -> None:
        """An experiment has changed."""
        if not self._watchers:
            return
        self._dirty[experiment.id] = experiment
        if self._showing is None:
            self._showing = asyncio.get_running_loop().call_at(self._shown_at + PAUSE_S, self._show)

    @contextmanager
    def watched(self, watcher: Watcher) -> Iterator[None]:
        """Show changes to `watcher`, from now until the end of the block."""
        self._watchers.add(watcher)
        try:
            yield
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._dirty.clear()

    def _show(self) -> None:
        self._showing = None
        self._shown_at = asyncio.get_running_loop().time()
        dirty, self._dirty = self._dirty, {}
        for standing in map(Standing, dirty.values()):
            for watcher in self._watchers:
                watcher.see(standing)
