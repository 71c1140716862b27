"""The async client against a real server, over lines that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from kanad_server.client import ApiError, Client, ExperimentFailed, Unreachable
from kanad_server.wire import Convergence
from tests.support.server import Server, probe


@asynccontextmanager
async def breaking_line(url: str, *cuts: int) -> AsyncIterator[str]:
    """A TCP proxy whose connections are cut after so many bytes from the server: the first `cuts` of them."""
    target = urlsplit(url)
    left = list(cuts)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
        while data := await reader.read(512):
            writer.write(data)
            await writer.drain()
            if budget is not None:
                budget -= len(data)
                if budget < 0:
                    break
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        first = await reader.read(4096)
        far_writer.write(first)
        budget = left.pop(0) if left and b"Upgrade: websocket" in first else None
        with suppress(OSError):
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, far_writer, None), name="to-server")
                group.create_task(pump(far_reader, writer, budget), name="to-client")

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()


async def test_submit_watch_and_fetch(server: Server) -> None:
    async with Client(server.url) as client:
        run = await client.submit(probe(steps=5, step_ms=1))
        events = [event async for event in run.events()]
        result = await run.result()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.iteration for event in events if isinstance(event, Convergence)] == [1, 2, 3, 4, 5]
    assert result.energy_hartree == -1.0


async def test_a_broken_line_is_taken_up_where_it_broke(server: Server) -> None:
    async with breaking_line(server.url, 900, 5_000, 2_000) as address, Client(address) as client:
        run = await client.submit(probe(steps=120, step_ms=5))
        events = [event async for event in run.events()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(events) == len(server.events(run.id))


async def test_a_refusal_carries_code_and_fields(server: Server) -> None:
    async with Client(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.submit({"molecule": {"library": "H2"}, "method": {"name": "hf"}, "basis": "none"})
    problem = caught.value.problem
    assert (problem.status, problem.code, problem.errors[0].path) == (422, "invalid_spec", "$.basis")


async def test_a_failed_run_raises_with_its_experiment(server: Server) -> None:
    async with Client(server.url) as client:
        run = await client.submit(probe(steps=1, fault="raise"))
        with pytest.raises(ExperimentFailed) as caught:
            await run.result()
    assert caught.value.experiment.error is not None
    assert caught.value.experiment.error.code == "solver_failed"


async def test_the_list_is_walked_page_by_page(server: Server) -> None:
    async with Client(server.url) as client:
        for number in range(3):
            await client.submit(probe(steps=0, name=f"walk {number}"))
        names = [experiment.name async for experiment in client.experiments(q="walk", limit=1, sort="name")]
    assert names == ["walk 0", "walk 1", "walk 2"]


async def test_nobody_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    from kanad_server.client import client as module

    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(Unreachable):
            await client.system()


async def test_a_viewer_outlives_a_restart_of_the_server(server: Server) -> None:
    async with Client(server.url) as client:
        run = await client.submit(probe(steps=150, step_ms=10))
        seen = []
        async for event in run.events():
            seen.append(event.seq)
            if len(seen) == 20:
                await asyncio.to_thread(server.kill)
                server.start(port=urlsplit(server.url).port or 0)
    assert seen == list(range(1, len(seen) + 1))
    assert (await asyncio.to_thread(server.ended, run.id))["status"] == "completed"
