"""Who runs next, and what becomes of attempts, with scripted slots and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from kanad_server.engines import Failed, Lost
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
