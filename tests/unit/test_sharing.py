"""Identical work is done once, and each experiment has a log of its own; with scripted slots and a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kanad_server import sharing
from kanad_server.engines import Completed, Failed, Lost, versions
from kanad_server.errors import TooMany, Unavailable
from kanad_server.testing import ScriptedSlot, spec
from kanad_server.wire import Error, Experiment
from kanad_solvers.spec import Limits, Probe
from tests.support.checks import check_log
from tests.support.room import Room, alone, held, room

FAILED = Failed(Error(code="not_converged", message="no"))
LOST = Lost(Error(code="worker_lost", message="it died"))
FOUND = Completed(-1.5, b'{"energy_hartree":-1.5}', versions.present())


def holding(*script: Any) -> ScriptedSlot:
    slot = ScriptedSlot("s", script=script)
    slot.let_go.clear()
    return slot


async def log_of(here: Room, experiment: Experiment) -> list[dict[str, Any]]:
    await here.journal.settle()
    events = [msgspec.json.decode(body) for _, body in await here.store.events(experiment.id, 0, 10_000)]
    check_log(events)
    assert {event["experiment_id"] for event in events} == {experiment.id}
    return events


def steps(events: list[dict[str, Any]]) -> list[int]:
    return [event["iteration"] for event in events if event["type"] == "convergence"]


async def test_equal_specs_run_once_and_each_log_tells_everything(tmp_path: Path) -> None:
    slot = holding(FOUND)
    async with room(tmp_path, slot) as here:
        leader = await here.submit(spec())
        early = await here.submit(spec(name="early"))
        await held(slot)
        late = await here.submit(spec(name="late"))
        assert (leader.reused_from, early.reused_from, late.reused_from) == (None, leader.id, leader.id)
        slot.let_go.set()
        for experiment in (leader, early, late):
            ended = await here.ended(experiment)
            assert (ended.status, ended.energy_hartree, ended.attempt) == ("completed", -1.5, 1)
            assert steps(await log_of(here, experiment)) == [1, 2]
            assert await here.store.result(experiment.id) == '{"energy_hartree":-1.5}'
    assert len(slot.jobs) == 1


@pytest.mark.parametrize(
    "other",
    [
        spec(fresh=True),
        spec(basis="6-31g"),
        spec(limits=Limits(wall_s=7)),
        spec(method=Probe(steps=2)),
    ],
)
async def test_what_differs_or_is_wanted_fresh_runs_by_itself(tmp_path: Path, other: Any) -> None:
    slot = holding()
    async with room(tmp_path, slot) as here:
        if isinstance(other.method, Probe):
            await here.submit(other)
        await here.submit(spec())
        await held(slot)
        experiment = await here.submit(other)
        assert experiment.reused_from is None
        slot.let_go.set()
        await here.ended(experiment)
    assert slot.jobs[-1].experiment_id == experiment.id


async def test_work_is_shared_within_an_owner_only(tmp_path: Path) -> None:
    slot = holding(FOUND, FOUND)
    async with room(tmp_path, slot) as here:
        ana = await here.submit(spec(), "ana")
        await held(slot)
        eve = await here.submit(spec(), "eve")
        assert eve.reused_from is None
        slot.let_go.set()
        for experiment in (ana, eve):
            await here.ended(experiment)
        assert (await here.submit(spec(), "bob")).status == "queued"
        assert (await here.submit(spec(), "eve")).status == "completed"
    assert len(slot.jobs) == 3


async def test_a_completed_result_answers_at_once_and_durably(tmp_path: Path) -> None:
    async with room(tmp_path, ScriptedSlot("s", script=[FOUND])) as here:
        first = await here.submit(spec())
        await here.ended(first)
        await here.journal.settle()
    idle = ScriptedSlot("s")
    async with room(tmp_path, idle) as here:
        again = await here.submit(spec(name="again"))
        assert (again.status, again.reused_from, again.energy_hartree) == ("completed", first.id, -1.5)
        assert [event["status"] for event in await log_of(here, again)] == ["queued", "completed"]
        await here.store.delete(first.id)
        here.dispatch.forget(first)
        third = await here.submit(spec())
        assert third.reused_from == again.id
        assert await here.store.result(third.id) == '{"energy_hartree":-1.5}'
    assert idle.jobs == []


@pytest.mark.parametrize(
    "first", [FAILED, Completed(-1.0, b"{}"), Completed(-1.0, b"{}", "kanad_solvers 0.0.0")],
    ids=["failed", "not converged", "other versions"],
)  # fmt: skip
async def test_what_is_no_good_result_now_is_computed_again(tmp_path: Path, first: Any) -> None:
    slot = ScriptedSlot("s", script=[first])
    async with room(tmp_path, slot) as here:
        await here.ended(await here.submit(spec()))
        again = await here.submit(spec())
        assert (again.status, again.reused_from) == ("queued", None)
        await here.ended(again)
    assert len(slot.jobs) == 2


async def test_a_leader_that_leaves_lets_the_work_go_on(tmp_path: Path) -> None:
    slot = holding(FOUND)
    async with room(tmp_path, slot) as here:
        leader, follower = await here.submit(spec()), await here.submit(spec())
        await held(slot)
        await here.dispatch.cancel(leader.id)
        assert (await here.ended(leader)).status == "cancelled"
        newcomer = await here.submit(spec())
        assert newcomer.reused_from == follower.id
        slot.let_go.set()
        for experiment in (follower, newcomer):
            assert (await here.ended(experiment)).status == "completed"
            await log_of(here, experiment)
    assert len(slot.jobs) == 1


async def test_the_last_cancel_ends_the_attempt_and_nobody_joins_a_dying_one(tmp_path: Path) -> None:
    slot = holding()
    async with room(tmp_path, slot) as here:
        both = [await here.submit(spec()) for _ in range(2)]
        await held(slot)
        cancels = asyncio.gather(*(here.dispatch.cancel(experiment.id) for experiment in both))
        await asyncio.sleep(0)
        after = await here.submit(spec())
        await cancels
        for experiment in both:
            assert (await here.ended(experiment)).status == "cancelled"
        slot.let_go.set()
        assert (await here.ended(after)).status == "completed"
    assert len(slot.jobs) == 2


async def test_cancelling_in_the_line_leaves_the_place_to_the_others(tmp_path: Path) -> None:
    slot = holding(FOUND, FOUND)
    async with room(tmp_path, slot) as here:
        await here.submit(alone(basis="6-31g"))
        await held(slot)
        leader, follower = await here.submit(spec()), await here.submit(spec())
        behind = await here.submit(alone(basis="6-31g"))
        await here.dispatch.cancel(leader.id)
        assert here.dispatch.seen(follower).queue_position == 1
        assert here.dispatch.queue_length == 2
        await here.dispatch.cancel(follower.id)
        assert here.dispatch.seen(behind).queue_position == 1
        slot.let_go.set()
        await here.ended(behind)
    assert len(slot.jobs) == 2


async def test_an_urgent_follower_pulls_the_work_forward(tmp_path: Path) -> None:
    slot = holding(FOUND, FOUND, FOUND)
    async with room(tmp_path, slot) as here:
        await here.submit(alone(basis="6-31g"))
        await held(slot)
        first, patient = await here.submit(alone(basis="6-31g")), await here.submit(spec())
        urgent = await here.submit(spec(priority=5))
        assert here.dispatch.seen(patient).queue_position == here.dispatch.seen(urgent).queue_position == 1
        slot.let_go.set()
        for experiment in (first, patient, urgent):
            await here.ended(experiment)
    assert [job.experiment_id for job in slot.jobs[1:]] == [patient.id, first.id]


async def test_a_shared_work_goes_by_the_highest_priority_that_its_members_have_now(tmp_path: Path) -> None:
    slot = holding(FOUND, FOUND, FOUND)
    async with room(tmp_path, slot) as here:
        await here.submit(alone(basis="6-31g"))
        await held(slot)
        other, patient = await here.submit(alone(basis="6-31g", priority=1)), await here.submit(spec())
        urgent = await here.submit(spec())
        for priority, place in ((5, 1), (0, 2)):
            await here.dispatch.prioritize(urgent.id, priority)
            assert here.dispatch.seen(patient).queue_position == place
        assert here.dispatch.seen(other).queue_position == 1
        slot.let_go.set()


async def test_a_lost_worker_costs_all_one_attempt_and_a_failure_is_everybodys(tmp_path: Path) -> None:
    slot = holding(LOST, FAILED)
    async with room(tmp_path, slot) as here:
        both = [await here.submit(spec()) for _ in range(2)]
        await held(slot)
        slot.let_go.set()
        for experiment in both:
            ended = await here.ended(experiment)
            assert (ended.status, ended.attempt, ended.error) == ("failed", 2, FAILED.error)
            assert steps(await log_of(here, experiment)) == [1, 2, 1, 2]
    assert [job.attempt for job in slot.jobs] == [1, 2]


async def test_followers_are_together_again_after_a_restart(tmp_path: Path) -> None:
    slot = holding()
    async with room(tmp_path, slot) as here:
        both = [await here.submit(spec()) for _ in range(2)]
        await held(slot)
    again = holding(FOUND)
    async with room(tmp_path, again) as here:
        await held(again)
        third = await here.submit(spec())
        assert third.reused_from == both[0].id
        again.let_go.set()
        for experiment in (*both, third):
            assert (await here.ended(experiment)).status == "completed"
            await log_of(here, experiment)
    assert len(again.jobs) == 1


async def test_a_follower_whose_leader_had_completed_before_the_crash_is_answered(tmp_path: Path) -> None:
    async with room(tmp_path, ScriptedSlot("s", script=[FOUND])) as here:
        leader = await here.submit(spec())
        await here.ended(leader)
    from kanad_server.store import Commit, SqliteStore

    async with SqliteStore(tmp_path / "kanad.sqlite") as store:
        waiting = replace(leader, id="f" * 36, reused_from=leader.id, status="queued")
        event = {"type": "status", "status": "queued", "experiment_id": waiting.id, "attempt": 1, "seq": 1}
        body = msgspec.json.encode(event).decode()
        await store.commit(Commit(inserts=[waiting], events=[(waiting.id, 1, body)]))
    idle = ScriptedSlot("s")
    async with room(tmp_path, idle) as here:
        assert (await here.ended(waiting)).status == "completed"
        await log_of(here, waiting)
    assert idle.jobs == []


async def test_a_retried_one_joins_what_runs_or_runs_itself(tmp_path: Path) -> None:
    slot = holding(FAILED, FOUND)
    async with room(tmp_path, slot) as here:
        both = [await here.submit(spec()) for _ in range(2)]
        await held(slot)
        slot.let_go.set()
        for experiment in both:
            await here.ended(experiment)
        slot.let_go.clear()
        assert (await here.dispatch.retry(both[1].id)).reused_from is None
        await held(slot, 2)
        assert (await here.dispatch.retry(both[0].id)).reused_from == both[1].id
        slot.let_go.set()
        for experiment in both:
            assert (await here.ended(experiment)).status == "completed"
            await log_of(here, experiment)
    assert len(slot.jobs) == 2


async def test_a_fresh_leader_that_is_run_again_beside_its_old_work(tmp_path: Path) -> None:
    slots = [holding(FOUND), holding(FOUND)]
    async with room(tmp_path, *slots) as here:
        leader, follower = await here.submit(alone()), await here.submit(spec())
        await held(slots[0])
        await here.dispatch.cancel(leader.id)
        await here.ended(leader)
        await here.dispatch.retry(leader.id)
        await held(slots[1])
        for slot in slots:
            slot.let_go.set()
        for experiment in (leader, follower):
            assert (await here.ended(experiment)).status == "completed"
            await log_of(here, experiment)


async def test_more_than_can_listen_learn_of_the_start_and_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LISTENERS", 2)
    slot = holding(FOUND)
    async with room(tmp_path, slot) as here:
        crowd, _ = await here.dispatch.submit([spec() for _ in range(4)])
        await held(slot)
        crowd.append(await here.submit(spec()))
        slot.let_go.set()
        told = []
        for experiment in crowd:
            assert (await here.ended(experiment)).status == "completed"
            told.append(steps(await log_of(here, experiment)))
    assert told == [[1, 2], [1, 2], [], [], []]


@pytest.mark.parametrize(("name", "bound"), [("TOLD", 1), ("TOLD_BYTES", 100)])
async def test_what_is_kept_for_who_joins_late_is_bounded_in_number_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(sharing, name, bound)
    slot = holding(FOUND)
    async with room(tmp_path, slot) as here:
        leader = await here.submit(spec())
        await held(slot)
        work = here.dispatch._sharing.of(leader.id)
        assert work is not None
        assert (work.is_told_whole, work.told, work.told_bytes) == (False, [], 0)
        late = await here.submit(spec(name="late"))
        slot.let_go.set()
        assert steps(await log_of(here, await here.ended(leader))) == [1, 2]
        assert steps(await log_of(here, await here.ended(late))) == []


async def test_who_joins_while_the_work_ends_is_answered_and_not_run(tmp_path: Path) -> None:
    slot = holding(FOUND)
    async with room(tmp_path, slot) as here:
        first = await here.submit(spec())
        await held(slot)
        joining = [asyncio.create_task(here.submit(spec()), name="joining") for _ in range(50)]
        slot.let_go.set()
        while not all(task.done() for task in joining):
            joining.append(asyncio.create_task(here.submit(spec()), name="joining"))
            await asyncio.sleep(0.001)
            if len(joining) > 150:
                break
        for task in joining:
            experiment = await task
            assert (await here.ended(experiment)).status == "completed"
            await log_of(here, experiment)
        await here.ended(first)
    assert len(slot.jobs) == 1


async def test_followers_of_one_that_could_not_be_kept_find_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = ScriptedSlot("s", script=[FOUND])
    async with room(tmp_path, slot) as here:
        commit = here.store.commit

        async def full(_: object) -> None:
            raise Unavailable("store_unavailable", "the disk is full")

        monkeypatch.setattr(here.store, "commit", full)
        with pytest.raises(Unavailable):
            await here.submit(spec())
        assert here.dispatch.queue_length == 0
        monkeypatch.setattr(here.store, "commit", commit)
        after = await here.submit(spec())
        assert after.reused_from is None
        assert (await here.ended(after)).status == "completed"


async def test_a_batch_is_one_transaction_and_counts_as_a_whole(tmp_path: Path) -> None:
    slot = holding()
    async with room(tmp_path, slot, max_waiting=5) as here:
        await here.submit(alone())
        await held(slot)
        await here.journal.settle()
        before = here.journal.commits
        batch, _ = await here.dispatch.submit([alone(name=str(number)) for number in range(4)])
        assert here.journal.commits == before + 1
        assert [experiment.name for experiment in batch] == ["0", "1", "2", "3"]
        with pytest.raises(Unavailable, match="is the limit"):
            await here.dispatch.submit([alone(), alone()])
        assert here.dispatch.queue_length == 4


async def test_one_person_cannot_fill_the_line_for_all(tmp_path: Path) -> None:
    slot = holding()
    async with room(tmp_path, slot, max_waiting_per_person=2) as here:
        await here.submit(alone(), "ana")
        await held(slot)
        crowd = [await here.submit(alone(), "ana") for _ in range(2)]
        with pytest.raises(TooMany, match="2 is the limit"):
            await here.submit(alone(), "ana")
        eve = await here.submit(alone(), "eve")
        slot.let_go.set()
        for experiment in (*crowd, eve):
            await here.ended(experiment)
    assert [job.experiment_id for job in slot.jobs][1:] == [crowd[0].id, eve.id, crowd[1].id]
