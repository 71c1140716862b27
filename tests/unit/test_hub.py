"""Cursors: each event once and in order, wherever a viewer begins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest

from kanad_server import hub as hub_module
from kanad_server.batch import Batch
from kanad_server.board import Watcher
from kanad_server.errors import Unavailable
from kanad_server.hub import Hub
from kanad_server.testing import spec
from kanad_server.wire import Experiment, Percentage, StatusName


class Log:
    """Committed events in memory, read a little later than they were written, as a database is."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.is_over = False

    async def events(self, experiment_id: str, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        await asyncio.sleep(0)
        return list(enumerate(self.bodies[after : after + limit], after + 1))

    async def ended_at(self, experiment_id: str) -> int | None:
        await asyncio.sleep(0)
        return len(self.bodies) if self.is_over else None

    def write(self, hub: Hub, count: int, *, is_last: bool = False, body: str = "", name: str = "x") -> None:
        first = len(self.bodies) + 1
        self.bodies += [body or str(seq) for seq in range(first, first + count)]
        self.is_over = is_last
        status: StatusName = "completed" if is_last else "running"
        events = [(name, seq, self.bodies[seq - 1]) for seq in range(first, first + count)]
        hub.publish(experiment(status, len(self.bodies), name), events)


def experiment(status: StatusName, last_seq: int, experiment_id: str = "x", owner: str = "local") -> Experiment:
    return Experiment(
        id=experiment_id, name="", tags=(), priority=0, status=status, spec=spec(), spec_hash="", attempt=1,
        progress=Percentage(), last_seq=last_seq, created_at="", owner=owner,
    )  # fmt: skip


class Reader:
    """A sink that keeps what it gets; `pace` says how often it is full and has to be waited for."""

    def __init__(self, pace: random.Random | None = None) -> None:
        self.batches: list[Batch] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._pace = pace

    def put(self, batch: Batch) -> bool:
        self.batches.append(batch)
        return self.is_open.is_set() and (self._pace is None or self._pace.random() < 0.5)

    async def clear(self) -> None:
        await self.is_open.wait()
        if self._pace is not None:
            for _ in range(self._pace.randint(0, 3)):
                await asyncio.sleep(0)

    @property
    def seen(self) -> list[int]:
        return [message.seq for batch in self.batches for message in batch.messages]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def collect(hub: Hub, log: Log, after: int = 0, pace: random.Random | None = None) -> list[int]:
    reader = Reader(pace)
    await hub.serve("x", after, log, reader)
    return reader.seen


async def test_viewers_that_join_at_any_moment_see_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TAIL_EVENTS", 8)  # so that many have to go back to the log
    monkeypatch.setattr(hub_module, "REPLAY_EVENTS", 5)
    monkeypatch.setattr(hub_module, "SLICE", 3)
    chance = random.Random(1)
    hub, log = Hub(), Log()
    viewers = []
    for _ in range(100):
        log.write(hub, chance.randint(1, 12))
        after = chance.randint(0, len(log.bodies))
        viewers.append(
            (after, asyncio.ensure_future(collect(hub, log, after, chance if chance.random() < 0.5 else None)))
        )
        for _ in range(chance.randint(0, 5)):
            await asyncio.sleep(0)
    log.write(hub, 1, is_last=True)
    for after, viewer in viewers:
        assert await asyncio.wait_for(viewer, 60) == list(range(after + 1, len(log.bodies) + 1))
    assert not hub._channels


async def test_a_viewer_that_never_reads_holds_nobody_back() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 1)
    stalled = Reader()
    stalled.is_open.clear()
    waiting = asyncio.ensure_future(hub.serve("x", 0, log, stalled))
    await until(lambda: stalled.seen)
    reading = asyncio.ensure_future(collect(hub, log))
    for _ in range(100):
        log.write(hub, 50)
        await asyncio.sleep(0)
    log.write(hub, 1, is_last=True)
    assert len(await asyncio.wait_for(reading, 5)) == 5002
    assert stalled.seen == [1]  # no more than the one batch it was given is kept for it
    stalled.is_open.set()
    await asyncio.wait_for(waiting, 5)
    assert stalled.seen == list(range(1, 5003))


async def test_a_viewer_that_cannot_be_written_to_fails_alone() -> None:
    class Broken(Reader):
        def put(self, batch: Batch) -> bool:
            if self.batches:
                raise RuntimeError("no more")
            return super().put(batch)

    hub, log = Hub(), Log()
    log.write(hub, 1)
    broken = Broken()
    failing = asyncio.ensure_future(hub.serve("x", 0, log, broken))
    await until(lambda: broken.seen)
    reading = asyncio.ensure_future(collect(hub, log))
    for _ in range(20):  # both wait at the live edge
        await asyncio.sleep(0)
    log.write(hub, 1)
    with pytest.raises(RuntimeError, match="no more"):
        await asyncio.wait_for(failing, 5)
    log.write(hub, 1, is_last=True)
    assert await asyncio.wait_for(reading, 5) == [1, 2, 3]


async def test_large_events_are_kept_by_their_bytes_and_lost_to_nobody() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 1)
    stalled = Reader()
    stalled.is_open.clear()
    lagging = asyncio.ensure_future(hub.serve("x", 0, log, stalled))
    await until(lambda: stalled.seen)
    for _ in range(40):
        log.write(hub, 1, body="x" * 200_000)
    channel = hub._channels["x"]
    assert len(channel._tail) == hub_module.TAIL_BYTES // (200_000 + hub_module.EVENT_OVERHEAD)
    for seq in range(1, 42):
        channel.behind(seq, 41)
    assert channel._batches_size <= hub_module.BATCH_BYTES
    log.write(hub, 1, is_last=True)
    stalled.is_open.set()
    await asyncio.wait_for(lagging, 5)
    assert stalled.seen == list(range(1, 43))


async def test_many_watched_experiments_share_the_room_of_all_tails() -> None:
    hub = Hub()
    for number in range(200):
        hub._channels[str(number)] = hub_module._Channel()
    for number in range(200):
        name = str(number)
        for seq in range(1, 60):
            hub.publish(experiment("running", seq, name), [(name, seq, "x" * 20_000)])
    assert sum(channel._tail_bytes for channel in hub._channels.values()) <= hub_module.ALL_TAILS_BYTES


async def test_viewers_at_the_same_place_share_one_batch() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 1)
    readers = [Reader() for _ in range(100)]
    viewers = [asyncio.ensure_future(hub.serve("x", 0, log, reader)) for reader in readers]
    await until(lambda: "x" in hub._channels and len(hub._channels["x"]._waiting) == 100)
    log.write(hub, 10)
    log.write(hub, 10, is_last=True)
    await asyncio.wait_for(asyncio.gather(*viewers), 5)
    assert len({id(reader.batches[-1]) for reader in readers}) == 1
    assert [len(batch.messages) for batch in readers[0].batches] == [1, 20]


async def test_a_viewer_that_read_the_end_in_the_log_before_it_was_published_is_let_go() -> None:
    hub, log = Hub(), Log()
    log.bodies = ["1", "2", "3"]  # committed, and not yet published
    reader = Reader()
    viewer = asyncio.ensure_future(hub.serve("x", 0, log, reader))
    await until(lambda: "x" in hub._channels and hub._channels["x"]._waiting)
    assert reader.seen == [1, 2, 3]
    log.is_over = True
    hub.publish(experiment("completed", 3), [("x", 3, "3")])
    assert await asyncio.wait_for(viewer, 5) == 3
    assert reader.seen == [1, 2, 3]


async def test_a_crowd_delays_nobody_but_itself() -> None:
    """2,000 viewers of one experiment are served in slices; a viewer of another one comes between them."""
    hub, served = Hub(), []

    class Noting(Reader):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def put(self, batch: Batch) -> bool:
            served.append(self.name)
            return super().put(batch)

    logs = {"x": Log(), "y": Log()}
    for name, log in logs.items():
        log.write(hub, 1, name=name)
    tasks = [asyncio.ensure_future(hub.serve("x", 1, logs["x"], Noting("x"))) for _ in range(2_000)]
    tasks.append(asyncio.ensure_future(hub.serve("y", 1, logs["y"], Noting("y"))))
    await until(lambda: sum(len(channel._waiting) for channel in hub._channels.values()) == 2_001)
    logs["x"].write(hub, 1, name="x")
    logs["y"].write(hub, 1, name="y")
    await until(lambda: len(served) == 2_001)
    assert served.index("y") <= 2 * hub_module.SLICE
    hub.close()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_a_viewer_at_the_end_does_not_ask_the_log_for_it() -> None:
    """A thousand that see the end together would be a thousand questions to the store."""
    hub, log = Hub(), Log()
    log.write(hub, 1)
    viewer = asyncio.ensure_future(collect(hub, log))
    await until(lambda: "x" in hub._channels and hub._channels["x"]._waiting)
    log.write(hub, 1, is_last=True)
    log.is_over = False  # whoever asked would wait on
    assert await asyncio.wait_for(viewer, 5) == [1, 2]


async def test_closing_lets_every_viewer_go() -> None:
    hub, log = Hub(), Log()
    log.write(hub, 3)
    viewer = asyncio.ensure_future(collect(hub, log))
    await asyncio.sleep(0.01)
    hub.close()
    assert await asyncio.wait_for(viewer, 1) == [1, 2, 3]


async def test_the_end_is_told_to_all_who_wait_for_it_and_closing_lets_them_go() -> None:
    hub = Hub()
    waiting = [asyncio.ensure_future(hub.end_of(name)) for name in ("x", "x", "y")]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one who has waited long enough takes nothing from the other
    hub.publish(experiment("running", 2), [("x", 2, "2")])
    assert not waiting[1].done()
    ended = experiment("completed", 3)
    hub.publish(ended, [("x", 3, "3")])
    assert await asyncio.wait_for(waiting[1], 5) is ended
    hub.close()
    assert await asyncio.wait_for(waiting[2], 5) is None
    assert await hub.end_of("z") is None


def test_one_connection_too_many_is_refused() -> None:
    hub = Hub(max_viewers=2)
    with hub.connected(), hub.connected(), pytest.raises(Unavailable, match="2 viewers are connected"), hub.connected():
        pass
    assert hub.viewers == 0
    with hub.connected():
        pass


async def test_the_board_shows_the_newest_state_of_each_experiment_once() -> None:
    hub = Hub()
    watcher = Watcher(lambda experiment: experiment.owner == "ana", "*")
    with hub.board.watched(watcher):
        for seq in range(1, 50):
            for name in ("a", "b"):
                hub.publish(experiment("running", seq, name, owner="ana"), [])
            hub.publish(experiment("running", seq, "c", owner="eve"), [])
        batches = await asyncio.wait_for(watcher.changed(), 5)
    shown = [msgspec.json.decode(message.text) for batch in batches for message in batch.messages]
    assert [(summary["experiment_id"], summary["last_seq"]) for summary in shown] == [("a", 49), ("b", 49)]


async def test_a_filtered_watch_tells_of_what_leaves_the_state() -> None:
    hub = Hub()
    watcher = Watcher(lambda _: True, "running")
    shown = []
    states: tuple[StatusName, ...] = ("queued", "running", "completed")
    with hub.board.watched(watcher):
        hub.publish(experiment("queued", 1, "never"), [])
        for status in states:
            hub.publish(experiment(status, 1), [])
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3 if status == "queued" else 5):
                    shown += [message for batch in await watcher.changed() for message in batch.messages]
    assert [msgspec.json.decode(message.text)["status"] for message in shown] == ["running", "completed"]
