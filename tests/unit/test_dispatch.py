"""Who runs next, and what becomes of attempts, with scripted slots and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from kanad_server.engines import Failed, Interrupted, Lost
from kanad_server.errors import Conflict, NotFound, Unavailable
from kanad_server.testing import ScriptedSlot
from kanad_server.wire import Error
from kanad_solvers.spec import Limits
from tests.support.room import alone, held, room

LOST = Lost(Error(code="worker_lost", message="it died"))
FAILED = Failed(Error(code="not_converged", message="no"))


async def test_higher_priority_runs_first(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        first = await here.submit(alone())
        await held(slot)
        low = await here.submit(alone(priority=-1))
        high = await here.submit(alone(priority=9))
        assert here.dispatch.seen(low).queue_position == 2
        slot.let_go.set()
        for experiment in (first, low, high):
            await here.ended(experiment)
    assert [job.experiment_id for job in slot.jobs] == [first.id, high.id, low.id]


async def test_a_priority_is_changed_while_it_waits_and_outlives_a_restart(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        running = await here.submit(alone())
        await held(slot)
        first, second, third = [await here.submit(alone()) for _ in range(3)]
        moved = await here.dispatch.prioritize(third.id, 5)
        assert (moved.priority, moved.last_seq) == (5, 2)
        assert (await here.dispatch.prioritize(third.id, 5)).last_seq == 2, "asking again changes nothing"
        await here.dispatch.prioritize(first.id, -5)
        assert [here.dispatch.seen(one).queue_position for one in (third, second, first)] == [1, 2, 3]
        with pytest.raises(Conflict, match="is running"):
            await here.dispatch.prioritize(running.id, 5)
        with pytest.raises(Conflict, match="has ended"):
            await here.dispatch.prioritize("none", 5)
    again = ScriptedSlot("s")
    async with room(tmp_path, again) as here:
        assert (await here.ended(third)).priority == 5
        await here.ended(first)
    assert [job.experiment_id for job in again.jobs] == [third.id, running.id, second.id, first.id]


async def test_a_lost_worker_is_retried_once_and_then_told(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[LOST, LOST])
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        ended = await here.ended(experiment)
    assert (ended.status, ended.attempt) == ("failed", 2)
    assert ended.error == LOST.error


async def test_a_solvers_failure_is_not_retried(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[FAILED])
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        assert (await here.ended(experiment)).attempt == 1


async def test_a_deadline_ends_an_attempt_as_timeout(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone(limits=Limits(wall_s=0.05)))
        ended = await here.ended(experiment)
    assert ended.error is not None
    assert ended.error.code == "timeout"


async def test_cancel_is_idempotent_in_every_state(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        running = await here.submit(alone())
        await held(slot)
        waiting = await here.submit(alone())
        for experiment in (waiting, running):
            for _ in range(3):
                await here.dispatch.cancel(experiment.id)
            assert (await here.ended(experiment)).status == "cancelled"
        await here.dispatch.cancel("none")
        assert len(await here.store.events(waiting.id, 0, 100)) == 2


async def test_a_loss_after_a_cancel_is_a_cancel(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[LOST])
    slot.let_go.clear()
    slot.cancel = slot.let_go.set  # type: ignore[method-assign]  # the worker dies of the cancel
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        await held(slot)
        await here.dispatch.cancel(experiment.id)
        assert (await here.ended(experiment)).status == "cancelled"


async def test_a_full_line_refuses(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot, max_waiting=1) as here:
        await here.submit(alone())
        await held(slot)
        await here.submit(alone())
        with pytest.raises(Unavailable, match="is the limit"):
            await here.submit(alone())


async def test_what_ran_at_shutdown_runs_again_and_does_not_count_as_a_loss(tmp_path: Path) -> None:
    slot = ScriptedSlot("s")
    slot.let_go.clear()
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        await held(slot)
    again = ScriptedSlot("s")
    async with room(tmp_path, again) as here:
        ended = await here.ended(experiment)
    assert (ended.status, ended.attempt, ended.losses) == ("completed", 2, 0)


async def test_only_what_failed_or_was_cancelled_can_be_retried(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[FAILED])
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        await here.ended(experiment)
        assert (await here.dispatch.retry(experiment.id)).attempt == 2
        assert (await here.ended(experiment)).status == "completed"
        with pytest.raises(Conflict):
            await here.dispatch.retry(experiment.id)
        with pytest.raises(NotFound):
            await here.dispatch.retry("none")


async def test_slots_come_and_go_and_the_line_shrinks_and_grows(tmp_path: Path) -> None:
    first, second = ScriptedSlot("first"), ScriptedSlot("second")
    async with room(tmp_path) as here:
        waiting = [await here.submit(alone()) for _ in range(3)]
        assert here.dispatch.queue_length == 3
        first.let_go.clear()
        here.engine.show(first)
        await held(first)
        here.engine.show(second)
        assert [(await here.ended(one)).status for one in waiting[1:]] == ["completed", "completed"]
        assert len(second.jobs) == 2
        first.let_go.set()
        assert (await here.ended(waiting[0])).status == "completed"
        assert len(first.jobs) == 1


async def test_large_work_goes_only_where_it_fits_and_lets_small_work_pass(tmp_path: Path) -> None:
    small, large = ScriptedSlot("small", memory_mb=1_000), ScriptedSlot("large", memory_mb=64_000)
    large.let_go.clear()
    async with room(tmp_path, small, large) as here:
        big = [await here.submit(alone(limits=Limits(memory_mb=32_000))) for _ in range(2)]
        await held(large)
        little = await here.submit(alone(limits=Limits(memory_mb=500)))
        assert (await here.ended(little)).status == "completed"
        large.let_go.set()
        for one in big:
            await here.ended(one)
    assert [job.experiment_id for job in large.jobs] == [one.id for one in big]
    assert [job.experiment_id for job in small.jobs] == [little.id]


async def test_what_fits_nowhere_says_so_and_runs_when_a_slot_comes_that_is_large_enough(tmp_path: Path) -> None:
    small, large = ScriptedSlot("small", memory_mb=1_000), ScriptedSlot("large", memory_mb=64_000)
    async with room(tmp_path) as here:
        early = await here.submit(alone(limits=Limits(memory_mb=32_000)))
        here.engine.show(small)
        late = await here.submit(alone(limits=Limits(memory_mb=16_000)))
        await here.journal.settle()
        for one in (early, late):
            events = [body for _, body in await here.store.events(one.id, 0, 100)]
            assert len(events) == 2
            assert "no slot is so large" in events[1]
        here.engine.show(small, large)
        for one in (early, late):
            assert (await here.ended(one)).status == "completed"


async def test_an_attempt_that_the_engine_lost_runs_again_and_does_not_count_as_a_loss(tmp_path: Path) -> None:
    slot = ScriptedSlot("s", script=[Interrupted("the cluster went away")] * 3)
    async with room(tmp_path, slot) as here:
        experiment = await here.submit(alone())
        ended = await here.ended(experiment)
        bodies = [body for _, body in await here.store.events(experiment.id, 0, 100)]
    assert (ended.status, ended.attempt, ended.losses) == ("completed", 4, 0)
    assert sum("the cluster went away; running it again" in body for body in bodies) == 3
