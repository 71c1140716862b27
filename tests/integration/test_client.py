"""The async client against a real server, over lines that break."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from kanad_server.client import (
    ApiError,
    Client,
    Conflict,
    ExperimentCancelled,
    ExperimentFailed,
    InvalidInput,
    NotAllowed,
    NotConverged,
    NotFound,
    OutOfMemory,
    SomeFailed,
    SyncClient,
    TimedOut,
    TooLarge,
    Unavailable,
    Unreachable,
    WorkerLost,
)
from kanad_server.client.errors import failure, refusal
from kanad_server.wire import Convergence, Experiment, Problem, Status
from tests.support.lines import breaking_line, is_stream
from tests.support.server import Server, is_alive, probe

FAILED: dict[str, Any] = {
    "id": "any", "name": "", "tags": [], "priority": 0, "status": "failed", "spec_hash": "", "attempt": 1,
    "spec": {"molecule": {"library": "H2"}, "method": {"name": "hf"}}, "progress": {}, "last_seq": 4,
    "created_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


async def test_submit_watch_and_fetch(server: Server) -> None:
    async with Client(server.url) as client:
        run = await client.submit(probe(steps=5, step_ms=1))
        events = [event async for event in run.events()]
        result = await run.result()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.iteration for event in events if isinstance(event, Convergence)] == [1, 2, 3, 4, 5]
    assert result.energy_hartree == -1.0


async def test_a_line_cut_a_hundred_times_gives_every_event_once(server: Server) -> None:
    """Cuts fall anywhere: within the handshake, within a frame, between frames."""
    asked: Counter[bytes] = Counter()

    def budget(request: bytes, cuts: int) -> int | None:
        if not is_stream(request) or cuts >= 100:
            return None
        asked[request.split()[1]] += 1  # the same `after` again: the due frame was longer than what came through
        return 60 if cuts % 10 == 0 else 4_000 * 4 ** asked[request.split()[1]] + 37 * (cuts % 29)

    seen: list[int] = []
    async with breaking_line(server.url, budget) as line, Client(line.url) as client:
        run = await client.submit(probe(steps=100_000, step_ms=2))
        async for event in run.events():
            seen.append(event.seq)
            if line.cuts >= 100 and not run.experiment.cancel_requested:
                await run.cancel()
    assert line.cuts == 100
    assert seen == list(range(1, server.get(run.id)["last_seq"] + 1))


async def test_a_submission_over_a_line_that_breaks_runs_once(server: Server) -> None:
    """The server has taken it; its answer is lost four times."""
    async with (
        breaking_line(server.url, lambda request, cuts: 20 if cuts < 4 else None) as line,
        Client(line.url) as client,
    ):
        run = await client.submit(probe(steps=0, name="lost answers"))
    assert line.cuts == 4
    found = server.http.get("/api/v1/experiments?q=lost answers").json()["items"]
    assert [item["id"] for item in found] == [run.id]


async def test_nothing_is_posted_twice_over_a_line_cut_a_hundred_times(server: Server) -> None:
    """Every other connection breaks, in the head of an answer, in its body or behind it."""
    connections = 0

    def budget(request: bytes, cuts: int) -> int | None:
        nonlocal connections
        connections += 1
        return 1 + 53 * (cuts % 31) if connections % 2 and cuts < 100 else None

    posted, members, number = [], [], 0
    async with breaking_line(server.url, budget) as line:
        while line.cuts < 100:
            async with Client(line.url) as client:
                number += 1
                one = await client.submit(probe(steps=0, name=f"cut {number}"))
                two = await client.submit_batch([probe(steps=0, name=f"cut {number}, {half}") for half in "ab"])
                posted += [one.id, *(run.id for run in two)]
                campaign = await client.submit_campaign(
                    {"template": probe(steps=0), "experiments": [{"name": f"cut {number}, c"}]}
                )
                members += [member.experiment_id for member in await client.summary(campaign.id)]
    async with Client(server.url) as client:
        found = [experiment.id async for experiment in client.experiments(q="cut ", limit=200)]
    assert sorted(found) == sorted(posted + members)
    assert len(set(found)) == len(found) == 4 * number


async def test_a_retry_over_a_line_that_breaks_is_one_attempt(server: Server) -> None:
    async with Client(server.url) as client:
        run = await client.submit(probe(fault="raise"))
        assert (await run.ended()).status == "failed"

    answer = await asyncio.to_thread(server.http.get, f"/api/v1/experiments/{run.id}")
    size = len(answer.content) + sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    # The client looks, then asks for the retry on the same connection: the second answer is cut.
    async with (
        breaking_line(server.url, lambda request, cuts: None if cuts else size * 3 // 2) as line,
        Client(line.url) as client,
    ):
        again = (await client.retry(run.id)).experiment
    assert (line.cuts, again.attempt) == (1, 2)


async def test_what_is_deleted_over_a_line_that_breaks_is_deleted(server: Server) -> None:
    async with (
        breaking_line(
            server.url, lambda request, cuts: 20 if request.startswith(b"DELETE") and not cuts else None
        ) as line,
        Client(line.url) as client,
    ):
        run_id = server.post(probe(steps=0))["id"]
        await asyncio.to_thread(server.ended, run_id)
        await client.delete(run_id)
        assert line.cuts == 1
        with pytest.raises(NotFound):
            await client.delete(run_id)


async def test_a_server_that_is_another_programs_is_an_error_of_the_client() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other, Client(f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}", patience_s=0.1) as client:
        with pytest.raises(ApiError, match="none of kanad-server's answers") as caught:
            await client.system()
        with pytest.raises(Unreachable):
            await anext(client.events("any"))
    assert caught.value.code == "unexpected_answer"


async def test_a_refusal_carries_code_and_fields(server: Server) -> None:
    async with Client(server.url) as client:
        with pytest.raises(InvalidInput) as caught:
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


async def test_the_list_is_asked_by_status(server: Server) -> None:
    async with Client(server.url) as client:
        done = await client.submit(probe(steps=0, name="by status, short"))
        await done.result()
        endless = await client.submit(probe(steps=100_000, step_ms=10, name="by status, long"))
        await anext(event async for event in endless.events() if isinstance(event, Convergence))

        async def found(status: str) -> list[str]:
            return [experiment.id async for experiment in client.experiments(status=status, q="by status")]

        assert (await found("completed"), await found("running"), await found("failed")) == (
            [done.id],
            [endless.id],
            [],
        )
        await endless.cancel()
        await endless.ended()
        assert await found("cancelled") == [endless.id]
        with pytest.raises(InvalidInput, match="must be one of"):
            await found("done")


async def test_nobody_there_is_unreachable() -> None:
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(Unreachable):
            await client.system()
    async with Client("http://127.0.0.1:9", patience_s=0.1) as client:
        with pytest.raises(Unreachable):
            async for _ in client.events("none"):
                pass


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


async def test_errors_are_typed_by_code(server: Server) -> None:
    async with Client(server.url) as client:
        with pytest.raises(NotFound):
            await client.run("none")
        with pytest.raises(NotFound):
            async for _ in client.events("none"):
                pass
        with pytest.raises(TooLarge) as large:
            await client.submit(molecule="N2", method="fci", basis="cc-pvtz")
        done = await client.submit(probe(steps=0))
        await done.result()
        with pytest.raises(Conflict):
            await done.retry()
        endless = await client.submit(probe(steps=100_000, step_ms=10))
        with pytest.raises(TimeoutError):
            await endless.result(timeout=0.01)
        await endless.cancel()
        with pytest.raises(ExperimentCancelled):
            await endless.result()
        lost = await client.submit(probe(fault="os_exit"))
        with pytest.raises(WorkerLost):
            await lost.result()
        full = await client.submit(probe(fault="oom", limits={"wall_s": 60, "memory_mb": 256}))
        with pytest.raises(OutOfMemory):
            await full.result()
    assert large.value.problem.details["estimate"]["suggestion"]


def test_every_code_of_the_protocol_has_its_error() -> None:
    protocol = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    of_status = {
        400: InvalidInput, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 405: ApiError, 409: Conflict,
        413: InvalidInput, 415: InvalidInput, 422: InvalidInput, 429: Unavailable, 500: ApiError, 503: Unavailable,
    }  # fmt: skip
    rows = {int(row[1]): row[2] for row in re.finditer(r"^\| (\d{3}) \| (`.*) \|$", protocol, re.MULTILINE)}
    assert set(rows) == set(of_status)
    for status, row in rows.items():
        for code in re.findall(r"`([a-z_]+)`", row):
            error = refusal(Problem(title="", status=status, detail="the rule", code=code))
            assert type(error) is (TooLarge if code == "too_large" else of_status[status]), code
            assert (error.code, "the rule" in str(error)) == (code, True)

    of_code = {
        "worker_lost": WorkerLost, "worker_crashed": WorkerLost, "out_of_memory": OutOfMemory, "timeout": TimedOut,
        "not_converged": NotConverged, "bad_result": ExperimentFailed, "solver_failed": ExperimentFailed,
        "invalid_spec": ExperimentFailed,
    }  # fmt: skip
    (codes,) = re.findall(r"^Errors of failed experiments: (.*?)\n\n", protocol, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", codes)) - {"max_attempts"} == set(of_code)
    for code, kind in of_code.items():
        experiment = msgspec.convert(FAILED | {"error": {"code": code, "message": "why"}}, Experiment)
        assert type(failure(experiment)) is kind, code
        assert failure(experiment).code == code


async def test_what_takes_too_long_and_what_finds_no_place_have_errors_of_their_own(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--slots", "1", KANAD_MAX_WAITING="1")
    async with Client(server.url, patience_s=0.5) as client:
        late = await client.submit(probe(steps=100_000, step_ms=10, limits={"wall_s": 1, "memory_mb": 256}))
        with pytest.raises(TimedOut) as caught:
            await late.result()
        assert caught.value.code == "timeout"
        endless = await client.submit(probe(steps=100_000, step_ms=10))
        await anext(event async for event in endless.events() if isinstance(event, Convergence))
        await client.submit(probe(steps=1))
        with pytest.raises(Unavailable) as full:
            await client.submit(probe(steps=2))
        assert (full.value.problem.status, full.value.code) == (503, "queue_full")
        await endless.cancel()


async def test_map_keeps_order_and_says_what_became_of_each(server: Server) -> None:
    said = []
    async with Client(server.url) as client:
        specs = [probe(steps=steps, step_ms=1, name=f"map {steps}") for steps in (9, 5, 0)]
        results = await client.map(specs, concurrency=2, progress=lambda *counts: said.append(counts))
        with pytest.raises(SomeFailed) as caught:
            await client.map([probe(steps=0), probe(fault="raise"), {"molecule": {}, "method": {"name": "hf"}}])
    assert [result.energy_hartree for result in results] == [-1.0] * 3
    assert said == [(1, 3), (2, 3), (3, 3)]
    kinds = [type(outcome) for outcome in caught.value.outcomes]
    assert kinds == [type(results[0]), ExperimentFailed, InvalidInput]


async def test_map_has_at_most_so_many_on_the_server(server: Server) -> None:
    seen = []
    async with Client(server.url) as client:

        async def look() -> None:
            while True:
                items = [found async for found in client.experiments(q="at a time")]
                seen.append(sum(not found.is_final for found in items))
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(look())
        await client.map([probe(steps=10, step_ms=10, name=f"at a time {n}") for n in range(8)], concurrency=3)
        watching.cancel()
    assert max(seen) == 3


async def test_fields_make_a_spec_and_files_are_fetched(server: Server, tmp_path: Path) -> None:
    async with Client(server.url) as client:
        run = await client.submit(molecule="O", method="hf", basis="sto-3g", name="water", tags=["by fields"])
        result = await run.result()
        assert result.energy_hartree == pytest.approx(-74.96, abs=0.01)  # 6 digits depend on the embedding
        assert run.experiment.tags == ("by fields",)
        names = [artifact.name for artifact in await run.artifacts()]
        assert "structure.xyz" in names
        written = await run.download("structure.xyz", tmp_path)
        assert written == tmp_path / "structure.xyz"
        parsed = await client.parse(written)
        assert parsed.formula == "H2O"
        assert (await client.estimate(molecule="LiH", method="vqe")).qubits == 12
        assert {method.name for method in (await client.methods()).methods} > {"hf", "sqd"}
        assert "H2" in {molecule.name for molecule in await client.molecules()}
        await client.delete(run.id)
        with pytest.raises(NotFound):
            await run.refresh()


async def test_a_sync_client_works_where_a_loop_runs(server: Server) -> None:
    with SyncClient(server.url) as client:
        run = client.submit(probe(steps=5, step_ms=1, name="sync"))
        first = next(run.events())
        assert isinstance(first, Status)
        assert [event.seq for event in run.events(after=first.seq)] == list(range(2, len(server.events(run.id)) + 1))
        assert run.result(timeout=30).energy_hartree == -1.0
        assert [found.id for found in client.experiments(q="sync")] == [run.id]
        assert [result.energy_hartree for result in client.map([probe(steps=0)] * 2)] == [-1.0, -1.0]
        with pytest.raises(NotFound):
            client.run("none")


async def test_batches_and_campaigns_come_back_as_runs_and_tables(server: Server) -> None:
    async with Client(server.url) as client:
        first, second = await client.submit_batch([probe(steps=1, name="a"), probe(steps=1, name="b")])
        assert [(await first.ended()).name, (await second.ended()).name] == ["a", "b"]
        posted = await client.submit_campaign({"template": probe(steps=2000), "experiments": [{"name": "x"}, {}]})
        assert (await client.cancel_campaign(posted.id)).id == posted.id
        assert [member.name for member in await client.summary(posted.id)] == ["x", ""]
        assert (await client.campaign(posted.id)).size == 2
        assert posted.id in [campaign.id async for campaign in client.campaigns()]


def test_a_sync_client_has_every_name_of_the_async_one() -> None:
    from kanad_server.client import Run, SyncRun

    for asynchronous, synchronous in ((Client, SyncClient), (Run, SyncRun)):
        names = {name for name in vars(asynchronous) if not name.startswith("_")}
        assert names - set(vars(synchronous)) == set()


async def test_a_private_server_goes_with_its_client(tmp_path: Path) -> None:
    async with Client.local(slots=1, data_dir=tmp_path) as client:
        run = await client.submit(molecule="H2", method="hf")
        assert (await run.result()).energy_hartree == pytest.approx(-1.11668439, abs=1e-7)  # PySCF 2.14.0
        pid = next(slot.pid for slot in (await client.system()).slots)
    assert pid is not None
    assert not is_alive(pid)
