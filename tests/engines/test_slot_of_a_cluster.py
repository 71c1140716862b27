"""What a slot of a cluster makes of answers that no sound cluster gives, and the engine of a connection that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from kanad_server.engines import Failed, Interrupted, Job, Need, dask, dask_slot, dask_worker, messages, remote
from kanad_server.engines.dask import DaskEngine
from kanad_server.engines.dask_slot import DaskSlot, Place
from kanad_server.engines.worker import Keeping
from kanad_server.testing import spec
from kanad_server.wire import Error, Reported
from kanad_solvers.progress import Stage

STAGE = Stage(stage=1, last_stage=1, message="SCF")
KEEPING = Keeping("/nowhere", 5.0)


class Gate:
    """There is always room."""

    has_room = True

    async def room(self) -> None:
        """At once."""


class Future(asyncio.Future[bytes]):
    """What is asked of one of Dask."""

    status = "pending"


class Client:
    """A connection that says what it is told to say."""

    def __init__(self) -> None:
        self.submitted: list[remote.Order] = []
        self.result = Future()
        self.error: Exception | None = None
        self.kept: list[tuple[float, bytes]] = []

    def submit(self, _: object, order: bytes, **__: Any) -> Future:
        """Take an order, or raise."""
        if self.error is not None:
            raise self.error
        self.submitted.append(remote.decode_order(order))
        return self.result

    async def get_events(self, _: str) -> list[tuple[float, bytes]]:
        """What was kept."""
        return self.kept

    async def nothing(self, *_: object, **__: object) -> None:
        """What else is asked."""

    publish_dataset = unpublish_dataset = cancel = nothing


class Connection(Client):
    """One to a cluster of one worker; when it has `broken`, the scheduler's answers fail, and closing it hangs."""

    status = "running"

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = self.scheduler_comm = self
        self.broken = False

    def __await__(self) -> Generator[Any, None, Connection]:
        yield from asyncio.sleep(0).__await__()
        return self

    def closed(self) -> bool:
        """As far as anybody knows it is open."""
        return False

    def subscribe_topic(self, *_: object) -> None:
        """Nothing is told."""

    async def list_datasets(self) -> list[str]:
        """Nothing is pinned."""
        return []

    async def identity(self, n_workers: int) -> dict[str, Any]:
        """Of the scheduler."""
        if self.broken:
            raise OSError("broken pipe")
        return {"workers": {"tcp://there:1": {"name": "w", "local_directory": "/there"}}}

    async def run(self, *_: object, **__: object) -> dict[str, bytes]:
        """What the worker offers."""
        offer = remote.Description(
            versions=dask_worker.examine(), slots=1, memory_mb=4_096, threads=1, local_directory="/there"
        )
        return {"tcp://there:1": remote.encode(offer)}

    async def close(self) -> None:
        """The network takes nothing any more."""
        await asyncio.Event().wait()


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
def engine(tmp_path: Path, client: Client) -> DaskEngine:
    made = DaskEngine("tcp://nowhere:1", "me", Gate(), Keeping(str(tmp_path), 5.0))
    made.client = client
    return made


@pytest.fixture
def slot(engine: DaskEngine) -> DaskSlot:
    found = DaskSlot(engine, Place("tcp://there:1", "w", "/there", 4_096, 1), 0, "topic", Gate(), KEEPING)
    assert found.claim(Need(memory_mb=100))
    return found


def job() -> Job:
    return Job(experiment_id="e", attempt=1, spec=spec())


async def test_a_client_that_has_just_closed_costs_no_attempt(slot: DaskSlot, client: Client) -> None:
    from distributed.client import ClosedClientError

    client.error = ClosedClientError("Client is closed")
    assert isinstance(await slot.run(job(), lambda _: None), Interrupted)
    assert slot.claim(Need(memory_mb=4_096)), "what was claimed is given back"


async def test_reports_that_are_nowhere_any_more_cost_the_attempt_and_not_its_time(
    slot: DaskSlot, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_slot, "SETTLE_S", 0.01)
    running = asyncio.create_task(slot.run(job(), lambda _: None))
    await asyncio.sleep(0)
    (order,) = client.submitted
    end = messages.encode(messages.Failed(Error(code="not_converged", message="no")))
    client.result.set_result(remote.encode(remote.Ended(run=order.run, count=2, end=end)))
    assert await asyncio.wait_for(running, 10) == Interrupted(dask_slot.LOST_MESSAGES)


async def test_what_did_not_come_before_the_connection_broke_is_read_once_it_is_back(
    slot: DaskSlot, client: Client, engine: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_slot, "SETTLE_S", 0.01)
    heard: list[Reported] = []
    running = asyncio.create_task(slot.run(job(), heard.append))
    await asyncio.sleep(0)
    (order,) = client.submitted
    engine.client = None
    end = messages.encode(messages.Failed(Error(code="not_converged", message="no")))
    client.result.set_result(remote.encode(remote.Ended(run=order.run, count=1, end=end)))
    await asyncio.sleep(2 * dask_slot.STRIKES * dask_slot.SETTLE_S)
    report = messages.encode(messages.Report(STAGE))
    client.kept = [(0.0, remote.encode(remote.Batch(run=order.run, first=1, messages=(report,))))]
    engine.client = client
    slot.rehand()
    assert isinstance(await asyncio.wait_for(running, 10), Failed)
    assert heard == [STAGE]


async def test_an_attempt_is_looked_for_however_its_connection_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    connection = Connection()
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: connection)
    monkeypatch.setattr(dask, "CLOSE_S", 0.01)
    monkeypatch.setattr(dask, "REFRESH_S", 0.01)
    engine = DaskEngine("tcp://nowhere:1", "me", Gate(), Keeping(str(tmp_path), 5.0))
    warming = asyncio.create_task(engine.warm())
    while not engine.slots:
        await asyncio.sleep(0.001)
    (slot,) = engine.slots
    assert slot.claim(Need(memory_mb=100))
    running = asyncio.create_task(slot.run(job(), lambda _: None))
    while not connection.submitted:
        await asyncio.sleep(0.001)
    connection.broken = True
    while engine.client is not None:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert slot.is_adrift
    warming.cancel()
    await asyncio.gather(warming, return_exceptions=True)
    slot.interrupt("the test is over")
    await running
