"""What every engine promises, tried on each of them: scripted, local, and (marker `dask`) a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec
import pytest

from kanad_server.testing import spec
from kanad_server.wire import Event, Status
from kanad_solvers.progress import Convergence, Log
from kanad_solvers.spec import Limits, Molecule, Probe, Solvent, Spec
from tests.engines.conftest import Place
from tests.support.server import is_alive

_decode = msgspec.json.Decoder(Event).decode
CANCEL_S = 2.0
BEAT_S = 0.01


def probe(memory_mb: int = 1_024, wall_s: float = 60.0, **options: object) -> Spec:
    """A spec that needs no chemistry."""
    return spec(method=Probe(**options), limits=Limits(wall_s=wall_s, memory_mb=memory_mb))  # type: ignore[arg-type]  # by name


async def log_of(place: Place, experiment_id: str) -> list[Event]:
    await place.journal.settle()
    events = [_decode(body) for _, body in await place.store.events(experiment_id, 0, 100_000)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return events


def statuses(events: list[Event]) -> list[str]:
    return [event.status for event in events if isinstance(event, Status)]


async def test_every_report_comes_once_in_order_and_the_end_is_last(place: Place) -> None:
    experiment = await place.submit(probe(steps=2_000, step_ms=0))
    assert (await place.ended(experiment)).status == "completed"
    events = await log_of(place, experiment.id)
    assert [event.iteration for event in events if isinstance(event, Convergence)] == list(range(1, 2_001))
    assert statuses(events[-1:]) == ["completed"]
    assert {event.attempt for event in events} == {1}


async def test_nothing_comes_after_the_end(place: Place) -> None:
    first = await place.submit(probe(steps=50, step_ms=1, payload_bytes=500))
    assert (await place.ended(first)).status == "completed"
    before = await log_of(place, first.id)
    for _ in range(3):  # the same slots go on
        assert (await place.ended(await place.submit(probe(steps=5, step_ms=1)))).status == "completed"
    assert await log_of(place, first.id) == before


async def test_two_at_once_do_not_mix(place: Place) -> None:
    both = [await place.submit(probe(steps=60, step_ms=5)) for _ in range(2)]
    for one in both:
        assert (await place.ended(one)).status == "completed"
        events = await log_of(place, one.id)
        assert [event.iteration for event in events if isinstance(event, Convergence)] == list(range(1, 61))
        assert {event.experiment_id for event in events} == {one.id}


async def lived_s(work: Awaitable[None]) -> float:
    """How long `work` took in beats of the loop: one that the machine delays counts as one."""
    task, beats = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.wait([task], timeout=BEAT_S)
        beats += 1
    await task
    return beats * BEAT_S


@pytest.mark.parametrize("fault", ["none", "hang", "busy_c_loop"])
async def test_a_cancel_ends_it_within_two_seconds_and_frees_the_slot(place: Place, fault: str) -> None:
    steps = 100_000 if fault == "none" else 1
    experiment = await place.submit(probe(steps=steps, step_ms=5, fault=fault))
    await place.heard(experiment.id, 4)
    pid = (await place.slot_of(experiment.id, with_pid=False)).view().pid

    async def cancelled() -> None:
        await place.dispatch.cancel(experiment.id)
        assert (await place.ended(experiment)).status == "cancelled"
        while pid is not None and fault != "none" and is_alive(pid):
            await asyncio.sleep(BEAT_S)

    assert await lived_s(cancelled()) < CANCEL_S
    assert statuses((await log_of(place, experiment.id))[-1:]) == ["cancelled"]
    assert (await place.ended(await place.submit(probe(steps=2, step_ms=1)))).status == "completed"


async def test_a_deadline_ends_it_as_timeout(place: Place) -> None:
    experiment = await place.submit(probe(steps=1, fault="hang", wall_s=0.5))
    ended = await place.ended(experiment)
    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.attempt) == ("failed", "timeout", 1)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("oom", "out_of_memory"), ("raise", "solver_failed"), ("nan_result", "bad_result"), ("huge_result", "bad_result")],
)
async def test_a_failure_has_its_code_and_is_not_repeated(place: Place, fault: str, code: str) -> None:
    experiment = await place.submit(probe(steps=2, step_ms=1, fault=fault, memory_mb=512))
    ended = await place.ended(experiment)
    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.attempt) == ("failed", code, 1)


async def test_what_holds_more_memory_than_its_grant_is_ended(place: Place) -> None:
    """A bound on what it holds, not on what it reserves: PySCF takes 200 MB for this, as the script says."""
    water = Solvent(model="cpcm", name="water")
    heavy = spec(molecule=Molecule(smiles="CCO"), basis="6-31g*", solvent=water, limits=Limits(memory_mb=64))
    ended = await place.ended(await place.submit(heavy))
    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.attempt) == ("failed", "out_of_memory", 1)
    assert "limits.memory_mb = 64" in ended.error.message


async def test_a_killed_worker_costs_one_attempt(place: Place) -> None:
    experiment = await place.submit(probe(steps=100_000, step_ms=10))
    slot = await place.slot_of(experiment.id, with_pid=False)
    await place.heard(experiment.id, 10)
    if not hasattr(slot, "die"):
        slot = await place.slot_of(experiment.id)
    place.kill(slot)
    async with asyncio.timeout(30):
        while (head := place.journal.head(experiment.id)) is None or head.attempt < 2 or head.status != "running":
            await asyncio.sleep(0.01)
    assert head.losses == 1
    await place.dispatch.cancel(experiment.id)
    assert (await place.ended(experiment)).status == "cancelled"
    events = await log_of(place, experiment.id)
    assert statuses(events) == ["queued", "running", "queued", "running", "cancelled"]
    for attempt in (1, 2):
        found = [event.iteration for event in events if isinstance(event, Convergence) and event.attempt == attempt]
        assert found == list(range(1, len(found) + 1))
    assert any(isinstance(event, Log) and "running it again" in event.message for event in events)


async def test_a_poisonous_experiment_fails_after_its_attempts(place: Place) -> None:
    experiment = await place.submit(probe(steps=3, step_ms=1, fault="sigsegv"))
    ended = await place.ended(experiment)
    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.attempt) == ("failed", "worker_crashed", 2)
