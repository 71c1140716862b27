"""Cursors: each event once and in order, wherever a viewer begins."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import pytest

from kanad_server import hub as hub_module
from kanad_server.errors import Unavailable
from kanad_server.hub import Hub


class Log:
    """Committed events in memory, read a little later than they were written, as a database is."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.is_over = False

    async def events(self, experiment_id: str, after: int, limit: int) -> list[tuple[int, str]]:
        await asyncio.sleep(0)
        return [(seq, body) for seq, body in enumerate(self.bodies, 1) if seq > after][:limit]

    async def ended_at(self, experiment_id: str) -> int | None:
        await asyncio.sleep(0)
        return len(self.bodies) if self.is_over else None

    def write(self, hub: Hub, count: int) -> None:
        first = len(self.bodies) + 1
        self.bodies += [str(seq) for seq in range(first, first + count)]
        hub.publish("x", [("x", seq, str(seq)) for seq in range(first, first + count)])


async def collect(hub: Hub, log: Log, after: int = 0) -> list[int]:
    async with aclosing(hub.follow("x", after, log)) as batches:
        return [int(body) async for batch in batches for body in batch]


async def test_viewers_that_join_at_any_moment_see_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TAIL_EVENTS", 8)  # so that many have to go back to the log
    chance = random.Random(1)
    hub, log = Hub(), Log()
    viewers = []
    for _ in range(200):
        log.write(hub, chance.randint(1, 12))
        after = chance.randint(0, len(log.bodies))
        viewers.append((after, asyncio.ensure_future(collect(hub, log, after))))
        for _ in range(chance.randint(0, 5)):
            await asyncio.sleep(0)
    log.is_over = True
    log.write(hub, 1)
    for after, viewer in viewers:
        assert await asyncio.wait_for(viewer, 10) == list(range(after + 1, len(log.bodies) + 1))
    assert hub.viewers == 0


async def test_a_viewer_that_never_reads_holds_nobody_back() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 1)
    stalled = hub.follow("x", 0, log)
    await anext(stalled)
    reading = asyncio.ensure_future(collect(hub, log))
    for _ in range(100):
        log.write(hub, 50)
        await asyncio.sleep(0)
    log.is_over = True
    log.write(hub, 1)
    assert len(await asyncio.wait_for(reading, 5)) == 5002
    await stalled.aclose()


async def test_closing_lets_every_viewer_go() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 3)
    viewer = asyncio.ensure_future(collect(hub, log))
    await asyncio.sleep(0.01)
    hub.close()
    assert await asyncio.wait_for(viewer, 1) == [1, 2, 3]


async def test_one_viewer_too_many_is_refused() -> None:
    hub, log = Hub(max_viewers=1), Log()
    log.write(hub, 1)
    first = hub.follow("x", 0, log)
    await anext(first)
    with pytest.raises(Unavailable, match="which is the limit"):
        await collect(hub, log)
    await first.aclose()
    log.is_over = True
    assert await collect(hub, log) == [1]
