"""Fan-out: experiment id -> the viewers that follow it.

A viewer is a cursor, not a queue: it holds the number of the last event it has. What is due is taken from the
channel's tail (the newest events), and from the log where the tail does not reach back so far. Viewers at the live edge
are served in rounds: what is due becomes one batch, put together once for all who hold the same position, and is handed
to each sink in place. While a round is going on, events gather for the next one: the load itself sets the batch. No
viewer can slow another one, the solver, or the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol

from kanad_server.batch import MAX_BYTES, Batch, Message, fitting
from kanad_server.board import Board
from kanad_server.errors import Unavailable
from kanad_server.wire import Experiment

TAIL_EVENTS = 4_096
TAIL_BYTES = 1024 * 1024
"""Newest events kept in memory for an experiment that has viewers: so many at most, and no more bytes than this."""
ALL_TAILS_BYTES = 32 * 1024 * 1024
"""The same for all experiments together: where many are watched, each keeps less, and those who lag read the log."""
EVENT_OVERHEAD = 200
"""Bytes of an event in memory beside its text."""
REPLAY_EVENTS = 1_000
"""Events read from the log at a time, and not more than one batch holds."""
REPLAYS_KEPT = 4
"""Batches from the log that late viewers of one experiment share."""
BATCHES_KEPT = 16
BATCH_BYTES = 256 * 1024
"""Batches of the tail that viewers of one experiment share."""
SLICE = 32
"""Viewers served before the loop may do something else, so that a crowd delays nobody but itself."""


class Log(Protocol):
    """Where older events are read, and where the end is known."""

    async def events(self, experiment_id: str, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        """(seq, body) of at most `limit` committed events behind `after`, in order, and of no more text than that."""

    async def ended_at(self, experiment_id: str) -> int | None:
        """The last number of an experiment that has ended; None while more may come."""


class Sink(Protocol):
    """Where a viewer's batches go."""

    def put(self, batch: Batch) -> bool:
        """Hand a batch over without waiting; whether another one could be taken at once."""

    async def clear(self) -> None:
        """Wait until another batch can be taken; raises when that is hopeless."""


class _Viewer:
    """A cursor."""

    __slots__ = ("after", "sink", "woken")

    def __init__(self, sink: Sink, after: int) -> None:
        self.sink = sink
        self.after = after
        self.woken: asyncio.Future[None] | None = None

    def take(self, batch: Batch) -> bool:
        self.after = batch.last
        return self.sink.put(batch)

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    def fail(self, error: Exception) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_exception(error)


class _Channel:
    """The live edge of one experiment, shared by its viewers."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.is_over = False
        self.viewers: set[_Viewer] = set()
        self._tail: deque[Message] = deque()
        self._tail_bytes = 0
        self._waiting: dict[_Viewer, None] = {}
        self._batches: dict[tuple[int, int], Batch] = {}
        self._batches_size = 0
        self._replays: dict[int, Batch] = {}
        self._reading: asyncio.Lock | None = None
        self._in_round = False

    def push(self, events: Sequence[tuple[str, int, str]], *, is_over: bool, tail_bytes: int) -> None:
        for _, seq, body in events:
            self._tail.append(Message(body, seq))
            self._tail_bytes += len(body) + EVENT_OVERHEAD
        while len(self._tail) > TAIL_EVENTS or (self._tail_bytes > tail_bytes and len(self._tail) > 1):
            self._tail_bytes -= len(self._tail.popleft().text) + EVENT_OVERHEAD
        self.last_seq = events[-1][1]
        self.is_over = is_over
        if self._waiting and not self._in_round:
            self._in_round = True
            asyncio.get_running_loop().call_soon(self._begin_round)

    def wake(self) -> None:
        for viewer in self._waiting:
            viewer.wake()

    def behind(self, after: int, edge: int) -> Batch | None:
        """What the tail holds behind `after`, up to `edge`; None where it does not reach back so far, or has nothing.

        Put together once for all viewers that are there.
        """
        if after >= edge or not self._tail or self._tail[0].seq > after + 1:
            return None
        batch = self._batches.get((after, edge))
        if batch is None:
            first = after + 1 - self._tail[0].seq
            batch = fitting(list(islice(self._tail, first, first + edge - after)))
            if len(self._batches) >= BATCHES_KEPT or self._batches_size + batch.size > BATCH_BYTES:
                self._batches.clear()
                self._batches_size = 0
            self._batches[after, edge] = batch
            self._batches_size += batch.size
        return batch

    async def replay(self, experiment_id: str, after: int, log: Log) -> Batch | None:
        """What the log holds behind `after`; None when that is nothing. Viewers that are there together read once."""
        batch = self._replays.get(after)
        if batch is not None:
            return batch
        if self._reading is None:
            self._reading = asyncio.Lock()
        async with self._reading:
            batch = self._replays.get(after)
            if batch is None:
                rows = await log.events(experiment_id, after, REPLAY_EVENTS, MAX_BYTES)
                if not rows:
                    return None
                batch = fitting([Message(body, seq) for seq, body in rows])
                if len(self.viewers) > 1:
                    self._replays[after] = batch
                    if len(self._replays) > REPLAYS_KEPT:
                        del self._replays[next(iter(self._replays))]
        return batch

    async def changed(self, viewer: _Viewer) -> None:
        """Wait at the live edge, served in place, until the viewer has to look for itself."""
        viewer.woken = asyncio.get_running_loop().create_future()
        self._waiting[viewer] = None
        try:
            await viewer.woken
        finally:
            del self._waiting[viewer]
            viewer.woken = None

    def _begin_round(self) -> None:
        # One edge for the whole round: everybody at the same position gets the same bytes.
        self._serve(iter(list(self._waiting)), self.last_seq)

    def _serve(self, viewers: Iterator[_Viewer], edge: int) -> None:
        served = 0
        for viewer in islice(viewers, SLICE):
            served += 1
            if viewer.woken is None or viewer.woken.done():
                continue  # it has gone, or looks for itself already
            if viewer.after >= edge:  # it came back with all of this round; the log may have had the end before we had
                if self.is_over:
                    viewer.wake()
                continue
            batch = self.behind(viewer.after, edge)
            try:
                is_clear = batch is not None and viewer.take(batch)
            except Exception as error:  # the trouble of one viewer is its own: the round goes on
                viewer.fail(error)
                continue
            if not is_clear or self.is_over or viewer.after < edge:
                viewer.wake()
        if served == SLICE:
            asyncio.get_running_loop().call_soon(self._serve, viewers, edge)
        elif self._waiting and self.last_seq > edge:
            asyncio.get_running_loop().call_soon(self._begin_round)
        else:
            self._in_round = False


class Hub:
    """All channels, and the board of summaries. `publish` is called by the journal alone, after a commit."""

    def __init__(self, max_viewers: int = 5_000) -> None:
        self._channels: dict[str, _Channel] = {}
        self._max_viewers = max_viewers
        self._closing = asyncio.Event()
        self._endings: dict[str, asyncio.Future[Experiment | None]] = {}
        self.board = Board()
        self.viewers = 0

    def publish(self, experiment: Experiment, events: Sequence[tuple[str, int, str]]) -> None:
        """Hand committed events to the viewers of an experiment, which stands as it does after them."""
        channel = self._channels.get(experiment.id)
        if channel is not None and events:
            tail_bytes = min(TAIL_BYTES, ALL_TAILS_BYTES // len(self._channels))
            channel.push(events, is_over=experiment.is_final, tail_bytes=tail_bytes)
        if experiment.is_final and experiment.id in self._endings:
            self._endings.pop(experiment.id).set_result(experiment)
        self.board.note(experiment)

    async def end_of(self, experiment_id: str) -> Experiment | None:
        """Wait for the end of an experiment that is active; None when the hub closes before it."""
        if self.is_closing:
            return None
        ending = self._endings.setdefault(experiment_id, asyncio.get_running_loop().create_future())
        return await asyncio.shield(ending)  # others may wait for the same

    async def serve(self, experiment_id: str, after: int, log: Log, sink: Sink) -> int | None:
        """Put what is due behind `after` into `sink`, to the last event of an experiment that has ended.

        Returns the number of that event, or None when the hub is closing. Each event comes once, in order. What
        `sink.clear` raises is raised.
        """
        viewer = _Viewer(sink, after)
        with self._join(experiment_id, viewer) as channel:
            while not self.is_closing:
                batch = channel.behind(viewer.after, channel.last_seq)
                if batch is None and not 0 < channel.last_seq <= viewer.after:
                    # Nothing is lost between this read and the next wait: whatever is committed meanwhile
                    # is pushed to the tail, because the channel was joined before the log was read.
                    batch = await channel.replay(experiment_id, viewer.after, log)
                if batch is not None:
                    if viewer.take(batch):
                        await asyncio.sleep(0)  # a long log to a fast socket leaves the loop to others too
                    else:
                        await sink.clear()
                    continue
                end = channel.last_seq if channel.is_over else await log.ended_at(experiment_id)
                if end is not None and viewer.after >= end:
                    return viewer.after
                if channel.last_seq <= viewer.after and not self.is_closing:
                    await channel.changed(viewer)
                    if not self.is_closing:
                        await sink.clear()
        return None

    @property
    def lag(self) -> int:
        """How many events the viewer is behind who is furthest behind what was published to it."""
        return max(
            (channel.last_seq - viewer.after for channel in self._channels.values() for viewer in channel.viewers),
            default=0,
        )

    def close(self) -> None:
        """Let every viewer go, because the server goes down."""
        self._closing.set()
        for channel in self._channels.values():
            channel.wake()
        for ending in self._endings.values():
            ending.set_result(None)
        self._endings.clear()

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    async def closing(self) -> None:
        """Wait until `close` is called."""
        await self._closing.wait()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Count a viewer's connection while it is open; how many one person may have is known to the gate.

        Raises:
            Unavailable: there are too many.
        """
        if self.viewers >= self._max_viewers:
            raise Unavailable(
                "too_many_viewers", f"{self.viewers} viewers are connected, which is the limit; try again later"
            )
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1

    @contextmanager
    def _join(self, experiment_id: str, viewer: _Viewer) -> Iterator[_Channel]:
        channel = self._channels.setdefault(experiment_id, _Channel())
        channel.viewers.add(viewer)
        try:
            yield channel
        finally:
            channel.viewers.discard(viewer)
            if not channel.viewers:
                del self._channels[experiment_id]
