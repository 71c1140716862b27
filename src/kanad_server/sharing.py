"""Identical work is done once: which experiments wait for the same numbers, and what each of them is told.

A `Work` is one piece of solving. It begins with one experiment; others with the same owner, spec hash and limits join
it while it waits or runs, and each is told everything in a log of its own. Where it has ended, its result answers.
Every method here runs without an await: between finding a work and joining it nothing can happen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from kanad_server import clock, lifecycle
from kanad_server.engines import Completed, Slot, Verdict
from kanad_server.journal import Journal, New
from kanad_server.lifecycle import Change
from kanad_server.store import Answer
from kanad_server.wire import Experiment, Log, Reported
from kanad_solvers.spec import Limits, Probe, Spec

TOLD = 2_000
"""Reports of a running attempt that are kept for who joins late."""
TOLD_BYTES = 4 * 1024 * 1024
"""And at most so much of them, as JSON."""
LISTENERS = 100
"""Experiments of one work that are told every step; the others learn of its start and its end. Picked, not measured."""
RECENT = 256
"""Ended works that are kept: they answer while their results are on the way to the store."""
RECENT_BYTES = 256 * 1024
"""Larger results are not kept; where one is asked for in the moment before it is stored, the work is done again."""

QUIET = "it shares the work of {source}; the steps are in that experiment's log, the result will be in both"
_encode = msgspec.json.Encoder().encode
Identity: TypeAlias = tuple[str, str, Limits]


def identity(experiment: Experiment) -> Identity | None:
    """What identical work has in common; None for work that is never shared."""
    method = experiment.spec.method
    if isinstance(method, Probe) and not method.shared:
        return None
    return experiment.owner, experiment.spec_hash, experiment.spec.limits


class Work:
    """One piece of solving and the experiments that wait for it, the oldest first."""

    def __init__(self, experiment: Experiment) -> None:
        self.id = experiment.id
        """That of the experiment it began with: its place in the line, and the name of its files."""
        self.owner = experiment.owner
        self.identity = identity(experiment)
        self.members: dict[str, bool] = {}
        """Experiment id -> whether it is told every step."""
        self.expected: set[str] = set()
        """Experiments that join as soon as they are committed."""
        self.losses = 0
        self.slot: Slot | None = None
        self.is_late = False
        self.verdict: Verdict | None = None
        self.told: list[Reported] = []
        self.told_bytes = 0
        self.is_told_whole = True

    def remember(self, progress: Reported) -> None:
        """Keep a report for who joins late, as long as all of them fit."""
        self.told.append(progress)
        self.told_bytes += len(_encode(progress))
        if len(self.told) > TOLD or self.told_bytes > TOLD_BYTES:
            self.forget()
            self.is_told_whole = False

    def forget(self) -> None:
        """Keep none of the reports; what comes now is the beginning."""
        self.told, self.told_bytes, self.is_told_whole = [], 0, True

    @property
    def lead(self) -> str:
        """The experiment that newcomers refer to."""
        return next(iter(self.members), self.id)

    @property
    def is_deserted(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self.members and not self.expected

    def end_late(self) -> None:
        """The deadline has come."""
        self.is_late = True
        if self.slot is not None:
            self.slot.cancel()


class Sharing:
    """All works, and what their members are told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._of: dict[str, Work] = {}
        self._open: dict[Identity, Work] = {}
        self._recent: OrderedDict[Identity, Answer] = OrderedDict()
        self._alive: dict[str, Work] = {}
        self._running: dict[str, Work] = {}

    def of(self, experiment_id: str) -> Work | None:
        """The work that an experiment waits for."""
        return self._of.get(experiment_id)

    def alive(self, work_id: str) -> Work | None:
        """A work that has not ended."""
        return self._alive.get(work_id)

    def running(self) -> list[Work]:
        """The works that slots do now."""
        return list(self._running.values())

    def find(self, experiment: Experiment) -> Work | Answer | None:
        """Identical work under way, or its result, unless a new run is asked for."""
        who = identity(experiment)
        if who is None or experiment.spec.fresh:
            return None
        return self._open.get(who) or self._recent.get(who)

    # Coming and going

    def place(self, experiment: Experiment, known: Answer | None, made_with: str) -> tuple[New, Work | None]:
        """How an experiment that is about to be accepted gets its numbers: an answer, a work to join, or its own."""
        found = self.find(experiment) or known
        if isinstance(found, Answer):
            return (experiment, reuse(found, made_with)), None
        if found is None:
            work = self.begin(experiment)
        else:
            work, experiment = found, replace(experiment, reused_from=found.lead)
        work.expected.add(experiment.id)
        return (experiment, None), work

    def begin(self, experiment: Experiment) -> Work:
        """A work of its own, which identical ones may join."""
        work = Work(experiment)
        if work.id in self._alive:  # it began a work once, left it to others, and is run again
            work.id = clock.new_id()
        self._alive[work.id] = work
        if work.identity is not None:
            self._open.setdefault(work.identity, work)
        return work

    def join(self, work: Work, experiment_id: str) -> None:
        """A committed experiment takes part from now on; where the work runs, it is told what it has missed."""
        work.expected.discard(experiment_id)
        work.losses = max(work.losses, self._head(experiment_id).losses)
        self._of[experiment_id] = work
        work.members[experiment_id] = False
        if work.slot is not None:
            is_told = work.is_told_whole and sum(work.members.values()) < LISTENERS and self._journal.has_room
            self._start(work, experiment_id, is_told)
            if is_told:
                for progress in work.told:
                    self._hear(experiment_id, progress)

    def leave(self, experiment_id: str) -> None:
        """An experiment does not wait for its work any more."""
        work = self._of.pop(experiment_id)
        del work.members[experiment_id]

    def close(self, work: Work) -> None:
        """Nobody can join any more."""
        if work.identity is not None and self._open.get(work.identity) is work:
            del self._open[work.identity]

    def forget(self, experiment: Experiment) -> None:
        """A deleted experiment answers no more."""
        who = identity(experiment)
        if who is not None:
            self._recent.pop(who, None)

    def forget_all(self, experiment_ids: Collection[str]) -> None:
        """Deleted experiments answer no more."""
        gone = set(experiment_ids)
        for who in [who for who, answer in self._recent.items() if answer.experiment_id in gone]:
            del self._recent[who]

    # What members are told

    def start(self, work: Work, slot: Slot) -> tuple[Spec, int]:
        """A slot takes the work; returns what is to be done, and the number of the attempt at it."""
        work.slot, work.is_late = slot, False
        work.forget()
        self._running[work.id] = work
        for number, experiment_id in enumerate(work.members):
            self._start(work, experiment_id, number < LISTENERS)
        heads = [self._head(experiment_id) for experiment_id in work.members]
        return heads[0].spec, max(head.attempt for head in heads)

    def hear(self, work: Work, progress: Reported) -> None:
        """The solver reported progress."""
        if work.identity is not None and work.is_told_whole:
            work.remember(progress)
        for experiment_id, is_told in work.members.items():
            if is_told:
                self._hear(experiment_id, progress)

    def conclude(self, work: Work, change: Callable[[Experiment], Change]) -> None:
        """The attempt is over; `change` says what that means for a member. Who waits for another attempt stays."""
        work.slot = None
        self._running.pop(work.id, None)
        for experiment_id in list(work.members):
            after = self._journal.propose(experiment_id, change(self._head(experiment_id)))
            if after.is_final:
                self.leave(experiment_id)

    def end(self, work: Work, verdict: Verdict, made_with: str) -> None:
        """There will be no other attempt; a result that may be used again answers for a while."""
        self.close(work)
        self._alive.pop(work.id, None)
        work.verdict = verdict
        if not isinstance(verdict, Completed) or verdict.made_with != made_with:
            return
        if work.identity is not None and len(verdict.result) <= RECENT_BYTES:
            self._recent[work.identity] = Answer(
                experiment_id=work.id, energy_hartree=verdict.energy_hartree, result=verdict.result
            )
            self._recent.move_to_end(work.identity)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    def _start(self, work: Work, experiment_id: str, is_told: bool) -> None:
        work.members[experiment_id] = is_told
        self._journal.propose(experiment_id, lifecycle.Start(self._head(experiment_id).attempt))
        if not is_told:
            self._hear(experiment_id, Log(message=QUIET.format(source=work.lead)))

    def _hear(self, experiment_id: str, progress: Reported) -> None:
        self._journal.propose(experiment_id, lifecycle.Hear(self._head(experiment_id).attempt, progress))

    def _head(self, experiment_id: str) -> Experiment:
        head = self._journal.head(experiment_id)
        assert head is not None  # a member is active: whoever ends it lets it leave
        return head


def reuse(found: Answer, made_with: str) -> lifecycle.Reuse:
    """The change that answers an experiment with what an identical one has found."""
    return lifecycle.Reuse(found.experiment_id, found.energy_hartree, found.result, made_with)
