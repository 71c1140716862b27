"""Who runs next, and what becomes of an attempt: waiting line, slots, cancel, deadlines, retries."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from kanad_server import clock, engines, lifecycle
from kanad_server.engines import Engine, Job, Need, Slot, Verdict, versions
from kanad_server.errors import Conflict, Unavailable
from kanad_server.files import Files
from kanad_server.journal import Journal, Key, New
from kanad_server.lifecycle import RefusedChange
from kanad_server.line import Crowd, WaitingLine
from kanad_server.people import LOCAL
from kanad_server.sharing import Sharing, Work, identity, reuse
from kanad_server.store import Answer, Campaign
from kanad_server.wire import Error, Experiment, Percentage
from kanad_solvers.spec import Spec, spec_hash

log = logging.getLogger(__name__)

START_RETRY_S = 1.0
NOTED = 1_000
"""Works that are told that no slot has what they need, when slots come or go; newcomers are told in any case."""
CANCELLED_AT_ONCE = 50
"""Experiments of a campaign that are cancelled before others have their turn."""
MAX_HAMILTONIANS = 200_000_000
"""Characters of all FCIDUMPs that wait or run: they are kept in memory."""


def _unknown(_: str) -> float | None:
    return None


class Dispatch:
    """Gives waiting work to free slots. `run` serves until cancelled."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        *,
        max_attempts: int,
        max_waiting: int,
        max_waiting_per_person: int = 10_000,
        files: Files | None = None,
        estimated_s: Callable[[str], float | None] = _unknown,
        large_above_s: float = math.inf,
    ) -> None:
        self._estimated_s, self._large_above_s = estimated_s, large_above_s
        self._journal = journal
        self._engine = engine
        self._files = files
        self._max_attempts = max_attempts
        self._line = WaitingLine()
        self._crowd = Crowd(max_waiting, max_waiting_per_person)
        self._sharing = Sharing(journal)
        self._serving: dict[Slot, asyncio.Task[None]] = {}
        self._idle: set[Slot] = set()
        self._misfits: set[Need] = set()
        self.is_draining = False
        self.has_taken_up = asyncio.Event()
        """Set once what a former server left is taken up; what is submitted before would be taken up too."""

    @property
    def queue_length(self) -> int:
        """How many experiments wait."""
        return len(self._crowd)

    def seen(self, experiment: Experiment) -> Experiment:
        """The experiment with its place in the line, which is that of the work it shares."""
        work = self._sharing.of(experiment.id)
        position = None if work is None else self._line.position(work.id)
        return experiment if position is None else replace(experiment, queue_position=position)

    # What people ask

    def check_room(self, owner: str, count: int) -> None:
        """Refuse early what `submit` would refuse.

        Raises:
            Unavailable: the waiting line is full, or the server is going down.
            TooMany: `owner` has too many waiting.
        """
        if self.is_draining:
            raise Unavailable("draining", "the server is going down; post again when it is back")
        self._crowd.check(owner, count)

    async def submit(
        self,
        specs: Sequence[Spec],
        *,
        owner: str = LOCAL.name,
        key: Key | None = None,
        campaign: Campaign | None = None,
    ) -> tuple[list[Experiment], bool]:
        """Accept prepared specs of `owner` durably, all or nothing; returns the experiments, and whether they are new.

        Raises:
            Unavailable: the waiting line is full, the store cannot write, or the server is going down.
            TooMany: `owner` has too many waiting.
            Conflict: the key was used with another body.
        """
        if self.is_draining:
            raise Unavailable("draining", "the server is going down; post again when it is back")
        new_ones = [_experiment(spec, owner, campaign) for spec in specs]
        experiments = [replace(one, estimated_s=self._estimated_s(one.spec_hash)) for one in new_ones]
        answers = await self._answers(experiments)
        joining: list[tuple[Work, Experiment]] = []
        new: list[New] = []

        def decide() -> list[New]:
            waiting = [e for e in experiments if not isinstance(self._sharing.find(e) or answers.get(e.id), Answer)]
            self._crowd.check(owner, len(waiting))
            _refuse_hamiltonians(waiting, self._journal.active())
            new.extend(self._place(experiment, answers.get(experiment.id), joining) for experiment in experiments)
            return new

        def entered(is_kept: bool) -> None:
            self._enter(joining, is_kept)
            if is_kept:
                self._share_files(new)

        return await self._journal.accept(decide, entered=entered, key=key, campaign=campaign)

    async def cancel(self, *experiment_ids: str) -> None:
        """Ask for the end; asking again, or asking one that has ended, changes nothing."""
        for number, experiment_id in enumerate(experiment_ids, 1):
            if number % CANCELLED_AT_ONCE == 0:
                await asyncio.sleep(0)
            head = self._journal.head(experiment_id)
            if head is not None and not head.is_final:
                self._cancel(head)
        await self._journal.settle()

    async def retry(self, experiment_id: str) -> Experiment:
        """A new attempt of one that failed or was cancelled.

        Raises:
            NotFound: there is no such experiment.
            Conflict: it has not failed and was not cancelled.
        """
        try:
            experiment = await self._journal.propose_to_ended(experiment_id, lifecycle.Retry())
        except RefusedChange as refused:
            status = refused.experiment.status
            raise Conflict(
                "not_retryable", f"only a failed or cancelled experiment can be retried; this one is {status}"
            ) from None
        self._run_again(experiment)
        await self._journal.settle()
        return self._journal.head(experiment_id) or experiment

    async def prioritize(self, experiment_id: str, priority: int) -> Experiment:
        """Give one that waits another priority; asking for the one that it has changes nothing.

        Raises:
            Conflict: it does not wait.
        """
        head = self._journal.head(experiment_id)
        if head is None or head.status != "queued":
            state = "has ended" if head is None else f"is {head.status}"
            raise Conflict("not_queued", f"only an experiment that waits has a place in the line; this one {state}")
        if head.priority != priority:
            self._journal.propose(experiment_id, lifecycle.Prioritize(priority))
            work = self._sharing.of(experiment_id)
            if work is not None:
                self._line.move(work.id, max(self._priority_of(member) for member in work.members))
        await self._journal.settle()
        return self._journal.head(experiment_id) or head

    def _priority_of(self, experiment_id: str) -> int:
        head = self._journal.head(experiment_id)
        assert head is not None  # a member is active
        return head.priority

    def forget(self, experiment: Experiment) -> None:
        """A deleted experiment answers for identical ones no more."""
        self._sharing.forget(experiment)

    def forget_all(self, experiment_ids: Sequence[str]) -> None:
        """`forget` for many."""
        self._sharing.forget_all(experiment_ids)

    def percents_of_running(self) -> dict[str, float]:
        """By campaign: the sum of what its running experiments have done, in percent."""
        percents: dict[str, float] = {}
        for work in self._sharing.running():
            for head in map(self._journal.head, work.members):
                if head is not None and head.campaign is not None:
                    percents[head.campaign] = percents.get(head.campaign, 0.0) + head.progress.percent
        return percents

    # Coming and going

    async def _answers(self, experiments: Sequence[Experiment]) -> dict[str, Answer]:
        """By experiment id: what an identical experiment has found."""
        asked = {e.id: e for e in experiments if identity(e) is not None and not e.spec.fresh}
        found: dict[tuple[str, str], Answer] = {}
        for owner in {experiment.owner for experiment in asked.values()}:
            hashes = list({e.spec_hash for e in asked.values() if e.owner == owner})
            answers = await self._journal.reusable(owner, hashes, versions.present())
            found |= {(owner, spec_hash): answer for spec_hash, answer in answers.items()}
        keys = {experiment_id: (e.owner, e.spec_hash) for experiment_id, e in asked.items()}
        return {experiment_id: found[key] for experiment_id, key in keys.items() if key in found}

    def _place(self, experiment: Experiment, known: Answer | None, joining: list[tuple[Work, Experiment]]) -> New:
        new, work = self._sharing.place(experiment, known, versions.present())
        if work is not None:
            self._crowd.add(experiment.id, experiment.owner)
            joining.append((work, new[0]))
        return new

    def _enter(self, joining: Sequence[tuple[Work, Experiment]], is_kept: bool) -> None:
        """Accepted experiments take part in their works, or leave them when they could not be kept."""
        for work, experiment in joining:
            head = self._journal.head(experiment.id)
            if is_kept and head is not None and not head.is_final:
                self._join(work, experiment)
            else:
                self._crowd.discard(experiment.id)
                work.expected.discard(experiment.id)
                self._desert(work)

    def _share_files(self, new: Sequence[New]) -> None:
        """What an answer was made with is there for who was answered."""
        if self._files is not None:
            for experiment, answer in new:
                if answer is not None:
                    self._files.share(answer.source, [experiment.id])

    def _join(self, work: Work, experiment: Experiment) -> None:
        """Take part in a work; one that has ended meanwhile has left its result, or another one is begun."""
        match work.verdict:
            case engines.Completed(energy_hartree=energy, result=result, made_with=made_with):
                work.expected.discard(experiment.id)
                self._crowd.discard(experiment.id)
                if self._files is not None:
                    self._files.share(work.id, [experiment.id])
                self._journal.propose(experiment.id, lifecycle.Reuse(work.id, energy, result, made_with))
            case None:
                self._sharing.join(work, experiment.id)
                if work.slot is None:
                    self._wait(work, experiment)
                else:
                    self._crowd.discard(experiment.id)
            case _:
                work.expected.discard(experiment.id)
                self._journal.propose(experiment.id, lifecycle.Share(None))
                self._run_again(experiment)

    def _run_again(self, experiment: Experiment) -> None:
        """Let a queued experiment find identical work under way, or begin its own."""
        found = self._sharing.find(experiment)
        self._crowd.add(experiment.id, experiment.owner)
        if isinstance(found, Work):
            self._journal.propose(experiment.id, lifecycle.Share(found.lead))
            self._join(found, experiment)
        else:
            self._join(self._sharing.begin(experiment), experiment)

    def _cancel(self, head: Experiment) -> None:
        work = self._sharing.of(head.id)
        is_last = work is not None and work.slot is not None and len(work.members) == 1 and not work.expected
        if work is not None and work.slot is not None and is_last:
            if not head.cancel_requested:
                self._journal.propose(head.id, lifecycle.RequestCancel())
                self._sharing.close(work)
                work.slot.cancel()
            return
        self._journal.propose(head.id, lifecycle.Cancel())
        self._crowd.discard(head.id)
        if work is not None:
            self._sharing.leave(head.id)
            self._desert(work)

    def _desert(self, work: Work) -> None:
        """Give up a work that nobody waits for any more."""
        if work.is_deserted:
            self._line.remove(work.id)
            self._sharing.close(work)
            if work.slot is not None:
                work.slot.cancel()
            else:
                self._sharing.end(work, engines.Cancelled(), versions.present())

    # The work

    async def run(self) -> None:
        """Take up what a former server left, then serve every slot until cancelled."""
        await self._take_up()
        self.has_taken_up.set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._follow(group)
                await self._engine.changed()

    def _follow(self, group: asyncio.TaskGroup) -> None:
        """Serve the slots that there are; one that has gone is let go as soon as nothing runs in it."""
        present = self._engine.slots
        for slot in self._serving.keys() - set(present):
            task = self._serving.pop(slot)
            if slot in self._idle:
                task.cancel()
        for slot in present:
            if slot not in self._serving:
                self._serving[slot] = group.create_task(self._serve(slot), name=f"slot-{len(self._serving)}")
        self._note_misfits()

    def _note_misfits(self) -> None:
        """Tell those that wait in vain, as far as the present slots go; again where they were told otherwise."""
        misfits = {kind: reason for kind in self._line.kinds() if (reason := self._engine.misfit(kind)) is not None}
        for kind in misfits.keys() - self._misfits:
            for work in map(self._sharing.alive, self._line.of_kind(kind, NOTED)):
                for member in work.members if work is not None else ():
                    self._journal.propose(member, lifecycle.Note(misfits[kind]))
        self._misfits = set(misfits)

    async def _take_up(self) -> None:
        active = await self._journal.recover()
        # What an experiment waited for may have completed in the moment before the end.
        answers = await self._answers([experiment for experiment in active if experiment.reused_from is not None])
        for experiment in active:
            if experiment.cancel_requested:
                self._journal.propose(experiment.id, lifecycle.Cancel())
                continue
            if experiment.status == "running":
                experiment = self._journal.propose(experiment.id, lifecycle.Interrupt(experiment.attempt))
            answer = answers.get(experiment.id)
            if answer is not None:
                if self._files is not None:
                    self._files.share(answer.experiment_id, [experiment.id])
                self._journal.propose(experiment.id, reuse(answer, versions.present()))
                continue
            self._crowd.add(experiment.id, experiment.owner)
            found = self._sharing.find(experiment)
            self._join(found if isinstance(found, Work) else self._sharing.begin(experiment), experiment)

    async def _serve(self, slot: Slot) -> None:
        while slot in self._serving:
            self._idle.add(slot)
            try:
                await self._journal.room()
                work = self._sharing.alive(await self._line.take(slot.claim))
            except asyncio.CancelledError:
                slot.release()
                raise
            finally:
                self._idle.discard(slot)
            if work is not None and work.members:
                await self._attempt(slot, work)
            else:
                slot.release()
            self._line.look_again()

    async def _attempt(self, slot: Slot, work: Work) -> None:
        for member in work.members:
            self._crowd.discard(member)
        spec, number = self._sharing.start(work, slot)
        deadline = asyncio.get_running_loop().call_later(spec.limits.wall_s, work.end_late)
        try:
            job = Job(experiment_id=work.id, attempt=number, spec=spec)
            verdict = await slot.run(job, partial(self._sharing.hear, work))
        except (BrokenProcessPool, OSError) as error:
            log.error("no worker process could be started", extra={"cause": str(error)})
            await asyncio.sleep(START_RETRY_S)
            verdict = engines.Lost(Error(code="worker_lost", message="no worker process could be started"))
        except asyncio.CancelledError:
            self._sharing.conclude(work, _interrupted)
            raise
        finally:
            deadline.cancel()
        self._end(work, verdict)

    def _wait(self, work: Work, experiment: Experiment) -> None:
        """Let a work wait its turn, for a slot that has what it needs."""
        need = self._need_of(experiment)
        self._line.put(work.id, experiment.priority, work.owner, need)
        misfit = self._engine.misfit(need)
        if misfit is not None and work.id in self._line:
            self._misfits.add(need)
            self._journal.propose(experiment.id, lifecycle.Note(misfit))

    def _need_of(self, experiment: Experiment) -> Need:
        limits, estimated_s = experiment.spec.limits, experiment.estimated_s
        is_large = estimated_s is None or estimated_s > self._large_above_s
        return Need(memory_mb=limits.memory_mb, threads=limits.threads, is_large=is_large)

    def _end(self, work: Work, verdict: Verdict) -> None:
        """Tell the members how the attempt ended; those that get another one wait again."""
        work.losses += isinstance(verdict, engines.Lost)
        if self._files is not None and isinstance(verdict, engines.Completed):
            self._files.hand_out(work.id, work.members)
        self._sharing.conclude(work, partial(self._conclude, work, verdict))
        for member in work.members:
            head = self._journal.head(member)
            assert head is not None  # a member is active
            self._crowd.add(member, work.owner)
            self._wait(work, head)
        if not work.members and not (work.expected and isinstance(verdict, engines.Lost | engines.Interrupted)):
            self._sharing.end(work, verdict, versions.present())

    def _conclude(self, work: Work, verdict: Verdict, head: Experiment) -> lifecycle.Change:
        """What a verdict means for an experiment."""
        match verdict:
            case engines.Completed(energy_hartree=energy, result=result, made_with=made_with):
                return lifecycle.Complete(head.attempt, energy, result, made_with)
            case engines.Failed(error=error):
                return lifecycle.Fail(head.attempt, error)
            case engines.Cancelled() if work.is_late and not head.cancel_requested:
                wall_s = head.spec.limits.wall_s
                message = f"the attempt did not end within limits.wall_s = {wall_s:g}; raise it, or ask for less"
                return lifecycle.Fail(head.attempt, Error(code="timeout", message=message))
            case engines.Cancelled():
                return lifecycle.Cancel()
            case engines.Interrupted(reason=reason):
                return lifecycle.Cancel() if head.cancel_requested else lifecycle.Interrupt(head.attempt, reason)
            case engines.Lost(error=error):
                if head.cancel_requested:
                    return lifecycle.Cancel()
                if work.losses < self._max_attempts:
                    return lifecycle.Lose(head.attempt, error)
                return lifecycle.Fail(head.attempt, error)
            case _:
                assert_never(verdict)


def _interrupted(head: Experiment) -> lifecycle.Change:
    """The server goes down under an attempt: it will be run again, unless a person asked for its end."""
    return lifecycle.Cancel() if head.cancel_requested else lifecycle.Interrupt(head.attempt)


def _refuse_hamiltonians(waiting: Iterable[Experiment], active: Iterable[Experiment]) -> None:
    """Raises Unavailable where the texts of all Hamiltonians that wait or run would take too much memory."""
    added = _hamiltonians(waiting)
    if added and added + _hamiltonians(active) > MAX_HAMILTONIANS:
        raise Unavailable(
            "queue_full",
            f"the FCIDUMPs that wait have {MAX_HAMILTONIANS} characters at most, and these {added}; post them later",
            retry_after_s=30,
        )


def _hamiltonians(experiments: Iterable[Experiment]) -> int:
    return sum(len(experiment.spec.molecule.fcidump or "") for experiment in experiments)


def _experiment(spec: Spec, owner: str = LOCAL.name, campaign: Campaign | None = None) -> Experiment:
    return Experiment(
        id=clock.new_id(),
        name=spec.name,
        tags=spec.tags,
        priority=spec.priority,
        status="queued",
        spec=spec,
        spec_hash=spec_hash(spec),
        attempt=1,
        progress=Percentage(),
        last_seq=0,
        created_at=clock.now(),
        owner=owner,
        campaign=None if campaign is None else campaign.id,
    )
