"""Who runs next, and what becomes of an attempt: waiting line, slots, cancel, deadlines, retries."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import assert_never

import msgspec
from msgspec.structs import replace

from kanad_server import clock, engines, lifecycle
from kanad_server.engines import Engine, Job, Slot, Verdict
from kanad_server.errors import Conflict, Unavailable, no_experiment
from kanad_server.journal import Journal
from kanad_server.lifecycle import RefusedChange
from kanad_server.line import WaitingLine
from kanad_server.people import LOCAL
from kanad_server.wire import Error, Experiment, Percentage, Reported
from kanad_solvers.spec import Spec, spec_hash

log = logging.getLogger(__name__)

START_RETRY_S = 1.0


class _Attempt(msgspec.Struct):
    """An attempt that a slot runs now."""

    slot: Slot
    is_late: bool = False

    def end_late(self) -> None:
        """The deadline has come."""
        self.is_late = True
        self.slot.cancel()


class Dispatch:
    """Gives waiting experiments to free slots. `run` serves until cancelled."""

    def __init__(self, journal: Journal, engine: Engine, *, max_attempts: int, max_waiting: int) -> None:
        self._journal = journal
        self._engine = engine
        self._max_attempts = max_attempts
        self._max_waiting = max_waiting
        self._line = WaitingLine()
        self._running: dict[str, _Attempt] = {}
        self.is_draining = False

    @property
    def queue_length(self) -> int:
        """How many experiments wait."""
        return len(self._line)

    def seen(self, experiment: Experiment) -> Experiment:
        """The experiment with its place in the line."""
        position = self._line.position(experiment.id)
        return experiment if position is None else replace(experiment, queue_position=position)

    # What people ask

    async def submit(
        self, spec: Spec, *, owner: str = LOCAL.name, key: str | None = None, body_hash: str = ""
    ) -> tuple[Experiment, bool]:
        """Accept a prepared spec of `owner` durably; returns the experiment, and whether it is new.

        Raises:
            Unavailable: the waiting line is full, the store cannot write, or the server is going down.
            Conflict: `key` was used with another body.
        """
        if self.is_draining:
            raise Unavailable("draining", "the server is going down; post again when it is back")
        if len(self._line) >= self._max_waiting:
            raise Unavailable(
                "queue_full",
                f"{len(self._line)} experiments are waiting, which is the limit; post again later",
                retry_after_s=30,
            )
        experiment, is_new = await self._journal.accept(_experiment(spec, owner), key=key, body_hash=body_hash)
        head = self._journal.head(experiment.id)
        if is_new and head is not None and head.status == "queued":
            self._line.put(experiment.id, experiment.priority, experiment.owner)
        return experiment, is_new

    async def cancel(self, experiment_id: str) -> Experiment:
        """Ask for the end; asking again, or asking one that has ended, changes nothing.

        Raises:
            NotFound: there is no such experiment.
        """
        head = self._journal.head(experiment_id)
        if head is None:
            ended = await self._journal.current(experiment_id)
            if ended is None:
                raise no_experiment(experiment_id)
            return ended
        attempt = self._running.get(experiment_id)
        if attempt is None:
            self._line.remove(experiment_id)
            if not head.is_final:
                self._journal.propose(experiment_id, lifecycle.Cancel())
        elif not head.cancel_requested:
            self._journal.propose(experiment_id, lifecycle.RequestCancel())
            attempt.slot.cancel()
        await self._journal.settle()
        current = await self._journal.current(experiment_id)
        if current is None:
            raise no_experiment(experiment_id)
        return current

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
        self._line.put(experiment.id, experiment.priority, experiment.owner)
        await self._journal.settle()
        return experiment

    # The work

    async def run(self) -> None:
        """Take up what a former server left, then serve every slot until cancelled."""
        await self._take_up()
        async with asyncio.TaskGroup() as group:
            for number, slot in enumerate(self._engine.slots):
                group.create_task(self._serve(slot), name=f"slot-{number}")

    async def _take_up(self) -> None:
        for experiment in await self._journal.recover():
            if experiment.cancel_requested:
                self._journal.propose(experiment.id, lifecycle.Cancel())
                continue
            if experiment.status == "running":
                self._journal.propose(experiment.id, lifecycle.Interrupt(experiment.attempt))
            self._line.put(experiment.id, experiment.priority, experiment.owner)

    async def _serve(self, slot: Slot) -> None:
        while True:
            await self._journal.room()
            experiment_id = await self._line.take()
            head = self._journal.head(experiment_id)
            if head is not None and head.status == "queued":  # it may have been cancelled on the way here
                await self._attempt(slot, head)

    async def _attempt(self, slot: Slot, experiment: Experiment) -> None:
        experiment_id, number = experiment.id, experiment.attempt
        self._journal.propose(experiment_id, lifecycle.Start(number))
        attempt = self._running[experiment_id] = _Attempt(slot)
        deadline = asyncio.get_running_loop().call_later(experiment.spec.limits.wall_s, attempt.end_late)
        job = Job(experiment_id=experiment_id, attempt=number, spec=experiment.spec)
        try:
            verdict = await slot.run(job, partial(self._hear, experiment_id, number))
        except (BrokenProcessPool, OSError) as error:
            log.error("no worker process could be started", extra={"cause": str(error)})
            await asyncio.sleep(START_RETRY_S)
            verdict = engines.Lost(Error(code="worker_lost", message="no worker process could be started"))
        except asyncio.CancelledError:
            self._interrupt(experiment_id, number)
            raise
        finally:
            deadline.cancel()
            del self._running[experiment_id]
        change = self._conclude(experiment_id, number, verdict, is_late=attempt.is_late)
        after = self._journal.propose(experiment_id, change)
        if after.status == "queued":
            self._line.put(experiment_id, after.priority, after.owner)

    def _hear(self, experiment_id: str, attempt: int, progress: Reported) -> None:
        self._journal.propose(experiment_id, lifecycle.Hear(attempt, progress))

    def _interrupt(self, experiment_id: str, attempt: int) -> None:
        """The server goes down under an attempt: it will be run again, unless a person asked for its end."""
        head = self._journal.head(experiment_id)
        asked = head is not None and head.cancel_requested
        self._journal.propose(experiment_id, lifecycle.Cancel() if asked else lifecycle.Interrupt(attempt))

    def _conclude(self, experiment_id: str, attempt: int, verdict: Verdict, *, is_late: bool) -> lifecycle.Change:
        """What a verdict means for the experiment."""
        head = self._journal.head(experiment_id)
        assert head is not None  # it is running, and only this task ends it
        match verdict:
            case engines.Completed(energy_hartree=energy, result=result):
                return lifecycle.Complete(attempt, energy, result)
            case engines.Failed(error=error):
                return lifecycle.Fail(attempt, error)
            case engines.Cancelled() if is_late and not head.cancel_requested:
                wall_s = head.spec.limits.wall_s
                message = f"the attempt did not end within limits.wall_s = {wall_s:g}; raise it, or ask for less"
                return lifecycle.Fail(attempt, Error(code="timeout", message=message))
            case engines.Cancelled():
                return lifecycle.Cancel()
            case engines.Lost(error=error):
                if head.cancel_requested:
                    return lifecycle.Cancel()
                if head.losses + 1 < self._max_attempts:
                    return lifecycle.Lose(attempt, error)
                return lifecycle.Fail(attempt, error)
            case _:
                assert_never(verdict)


def _experiment(spec: Spec, owner: str = LOCAL.name) -> Experiment:
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
    )
