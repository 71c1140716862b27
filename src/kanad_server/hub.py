"""Fan-out: experiment id -> the viewers that follow it.

A viewer is a cursor, not a queue: it holds the number of the last event it has. What is due is taken from the
channel's tail (the newest events, already encoded once for all), and from the log where the tail does not reach
back so far. No viewer can slow another one, the solver, or the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from kanad_server.errors import Unavailable

TAIL_EVENTS = 512
"""Newest events kept in memory for an experiment that has viewers."""
REPLAY_EVENTS = 500
"""Events read from the log at a time."""


class Log(Protocol):
    """Where older events are read, and where the end is known."""

    async def events(self, experiment_id: str, after: int, limit: int) -> list[tuple[int, str]]:
        """(seq, body) of at most `limit` committed events behind `after`, in order."""

    async def ended_at(self, experiment_id: str) -> int | None:
        """The last number of an experiment that has ended; None while more may come."""


class _Channel:
    """The live edge of one experiment, shared by its viewers."""

    def __init__(self) -> None:
        self.tail: deque[tuple[int, str]] = deque(maxlen=TAIL_EVENTS)
        self.last_seq = 0
        self.viewers = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def push(self, events: Sequence[tuple[str, int, str]]) -> None:
        self.tail.extend((seq, body) for _, seq, body in events)
        self.last_seq = events[-1][1]
        self.wake()

    def wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def behind(self, after: int) -> list[str] | None:
        """What the tail holds behind `after`; None where it does not reach back so far."""
        if not self.tail or self.tail[0][0] > after + 1:
            return None
        return [body for seq, body in self.tail if seq > after]

    async def changed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


class Hub:
    """All channels. `publish` is called by the journal alone, after a commit."""

    def __init__(self, max_viewers: int = 5_000) -> None:
        self._channels: dict[str, _Channel] = {}
        self._max_viewers = max_viewers
        self._closing = False
        self.viewers = 0

    def publish(self, experiment_id: str, events: Sequence[tuple[str, int, str]]) -> None:
        """Hand committed events to the viewers of an experiment."""
        channel = self._channels.get(experiment_id)
        if channel is not None:
            channel.push(events)

    async def follow(self, experiment_id: str, after: int, log: Log) -> AsyncGenerator[list[str], None]:
        """What is due behind `after`, batch by batch, to the last event of an experiment that has ended.

        Leaves early, without the end, when the hub is closing. Each event comes once, in order.

        Raises:
            Unavailable: there are too many viewers.
        """
        with self._join(experiment_id) as channel:
            while not self._closing:
                batch = channel.behind(after)
                if batch is None:
                    # Nothing is lost between this read and the next wait: whatever is committed meanwhile
                    # is pushed to the tail, because the channel was joined before the log was read.
                    batch = [body for _, body in await log.events(experiment_id, after, REPLAY_EVENTS)]
                if batch:
                    after += len(batch)  # numbers run without gaps
                    yield batch
                    continue
                end = await log.ended_at(experiment_id)
                if end is not None and after >= end:
                    return
                if channel.last_seq <= after and not self._closing:
                    await channel.changed()

    def close(self) -> None:
        """Let every `follow` end, because the server goes down."""
        self._closing = True
        for channel in self._channels.values():
            channel.wake()

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    @contextmanager
    def _join(self, experiment_id: str) -> Iterator[_Channel]:
        if self.viewers >= self._max_viewers:
            raise Unavailable(
                "too_many_viewers",
                f"{self.viewers} viewers are connected, which is the limit; try again later",
            )
        channel = self._channels.setdefault(experiment_id, _Channel())
        channel.viewers += 1
        self.viewers += 1
        try:
            yield channel
        finally:
            self.viewers -= 1
            channel.viewers -= 1
            if not channel.viewers:
                del self._channels[experiment_id]
