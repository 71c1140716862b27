"""The life of an experiment, as a pure function: (experiment, change) -> experiment and its events, or a refusal.

    queued --Start--> running --Complete--> completed
      ^ |                | | |---Fail-----> failed
      | |                | |-----Cancel---> cancelled
      | `-----Cancel-----+------------------^
      `---Lose, Interrupt'        (attempt + 1)
      `---Retry--- failed, cancelled                     queued --Reuse--> completed

A terminal state changes only by an explicit Retry, which is a new attempt with its own events. What an attempt says
carries the attempt's number, so that a late word of a lost worker is refused.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from kanad_server.wire import Error, Experiment, Log, Percentage, Progress, Reported, Status
from kanad_solvers.progress import Convergence, Stage

ALMOST_DONE = 99.0
"""A running experiment never shows more: 100 means completed."""


class Start(msgspec.Struct, frozen=True):
    """A slot takes the experiment."""

    attempt: int


class Hear(msgspec.Struct, frozen=True):
    """The solver reported progress."""

    attempt: int
    progress: Reported


class Complete(msgspec.Struct, frozen=True):
    """The attempt ended with a result (encoded JSON)."""

    attempt: int
    energy_hartree: float | None
    result: bytes
    made_with: str | None = None


class Reuse(msgspec.Struct, frozen=True):
    """An identical experiment has completed; its result (encoded JSON) is this one's too."""

    source: str
    energy_hartree: float | None
    result: bytes
    made_with: str | None = None


class Share(msgspec.Struct, frozen=True):
    """It takes part in the work that began with another experiment; None: it runs by itself from now on."""

    source: str | None


class Fail(msgspec.Struct, frozen=True):
    """The attempt, or the wait for one, ended in an error."""

    attempt: int
    error: Error


class Lose(msgspec.Struct, frozen=True):
    """The worker died under the attempt; run it again."""

    attempt: int
    error: Error


class Interrupt(msgspec.Struct, frozen=True):
    """The server, or its engine, went down under the attempt; run it again."""

    attempt: int
    reason: str = "the server stopped during this attempt"


class Note(msgspec.Struct, frozen=True):
    """Something to know about an experiment that waits."""

    message: str


class Prioritize(msgspec.Struct, frozen=True):
    """A person lets one that waits go earlier, or later."""

    priority: int


class RequestCancel(msgspec.Struct, frozen=True):
    """A person asked for the end; kept, so that it survives a restart."""


class Cancel(msgspec.Struct, frozen=True):
    """The experiment has ended because a person asked for it."""


class Retry(msgspec.Struct, frozen=True):
    """A person asks for a new attempt of one that failed or was cancelled."""


Change: TypeAlias = (
    Start
    | Hear
    | Note
    | Prioritize
    | Complete
    | Reuse
    | Share
    | Fail
    | Lose
    | Interrupt
    | RequestCancel
    | Cancel
    | Retry
)


class RefusedChange(Exception):
    """The change does not fit the experiment's state; the message names both."""

    def __init__(self, experiment: Experiment, change: Change) -> None:
        self.experiment = experiment
        self.change = change
        super().__init__(
            f"{type(change).__name__} does not fit experiment {experiment.id},"
            f" which is {experiment.status} in attempt {experiment.attempt}"
        )


def apply(experiment: Experiment, change: Change, now: str) -> tuple[Experiment, tuple[Progress, ...]]:
    """The experiment after `change`, and the events that tell it; the events are numbered here.

    Raises:
        RefusedChange: the change does not fit; nothing happened.
    """
    if not _fits(experiment, change):
        raise RefusedChange(experiment, change)
    match change:
        case Start():
            after = replace(experiment, status="running", started_at=now, progress=Percentage())
            events: tuple[Progress, ...] = (_status(after),)
        case Hear(progress=progress):
            after = replace(experiment, progress=_advanced(experiment.progress, progress))
            events = (progress,)
        case Complete(energy_hartree=energy):
            done = replace(experiment.progress, percent=100.0, energy_hartree=energy, eta_s=None)
            after = replace(experiment, status="completed", progress=done, energy_hartree=energy, finished_at=now)
            events = (_status(after),)
        case Reuse(source=source, energy_hartree=energy):
            done = Percentage(percent=100.0, energy_hartree=energy)
            after = replace(
                experiment, status="completed", progress=done, energy_hartree=energy, reused_from=source,
                started_at=now, finished_at=now,
            )  # fmt: skip
            events = (_status(after),)
        case Share(source=source):
            after = replace(experiment, reused_from=source)
            events = (Log(message=_shared(source)),)
        case Fail(error=error):
            after = replace(experiment, status="failed", error=error, finished_at=now)
            events = (_status(after),)
        case Lose(error=error):
            after = replace(_queued_again(experiment), losses=experiment.losses + 1)
            events = (Log(level="warning", message=f"{error.message}; running it again"), _status(after))
        case Interrupt(reason=reason):
            after = _queued_again(experiment)
            events = (Log(level="warning", message=f"{reason}; running it again"), _status(after))
        case Note(message=message):
            after = experiment
            events = (Log(level="warning", message=message),)
        case Prioritize(priority=priority):
            after = replace(experiment, priority=priority)
            events = (Log(message=f"its priority was changed from {experiment.priority} to {priority}"),)
        case RequestCancel():
            after = replace(experiment, cancel_requested=True)
            events = (Log(message="cancel was asked for"),)
        case Cancel():
            after = replace(experiment, status="cancelled", finished_at=now)
            events = (_status(after),)
        case Retry():
            after = replace(
                _queued_again(experiment), finished_at=None, cancel_requested=False, losses=0, reused_from=None
            )
            events = (_status(after),)
        case _:
            assert_never(change)
    return _numbered(after, events, now, attempt_of_last=after.attempt, attempt_before=experiment.attempt)


def accepted(experiment: Experiment, now: str) -> tuple[Experiment, tuple[Progress, ...]]:
    """A new experiment with its first event, `status` `queued` with seq 1."""
    return _numbered(experiment, (_status(experiment),), now, attempt_of_last=1, attempt_before=1)


def _fits(experiment: Experiment, change: Change) -> bool:
    match change:
        case Start(attempt=attempt):
            return experiment.status == "queued" and attempt == experiment.attempt
        case Hear() | Complete() | Lose() | Interrupt():
            return experiment.status == "running" and change.attempt == experiment.attempt
        case Reuse() | Share() | Note() | Prioritize():
            return experiment.status == "queued"
        case Fail(attempt=attempt):
            return not experiment.is_final and attempt == experiment.attempt
        case RequestCancel():
            return not experiment.is_final and not experiment.cancel_requested
        case Cancel():
            return not experiment.is_final
        case Retry():
            return experiment.status in ("failed", "cancelled")
        case _:
            assert_never(change)


def _status(experiment: Experiment) -> Status:
    return Status(
        status=experiment.status,
        progress=experiment.progress.percent,
        energy_hartree=experiment.energy_hartree,
        error=experiment.error,
    )


def _shared(source: str | None) -> str:
    if source is None:
        return "the experiment whose work this one shared has ended without a result; it runs by itself"
    return f"it shares the work of the identical experiment {source}"


def _queued_again(experiment: Experiment) -> Experiment:
    return replace(
        experiment,
        status="queued",
        attempt=experiment.attempt + 1,
        progress=Percentage(),
        started_at=None,
        error=None,
        energy_hartree=None,
    )


def _advanced(before: Percentage, progress: Reported) -> Percentage:
    match progress:
        case Stage(stage=stage, last_stage=last_stage):
            percent = max(before.percent, min(ALMOST_DONE, round(100 * (stage + 1) / (last_stage + 1), 1)))
            energy = progress.energy_hartree
            return replace(
                before,
                percent=percent,
                stage=stage,
                iteration=None,
                energy_hartree=before.energy_hartree if energy is None else energy,
            )
        case Convergence():
            return replace(before, iteration=progress.iteration, energy_hartree=progress.energy_hartree)
        case _:
            return before


def _numbered(
    after: Experiment, events: tuple[Progress, ...], now: str, *, attempt_of_last: int, attempt_before: int
) -> tuple[Experiment, tuple[Progress, ...]]:
    """Stamp the events; where an attempt gives way to the next, only the last event belongs to the new one."""
    first_seq = after.last_seq + 1
    last_seq = after.last_seq + len(events)
    stamped = tuple(
        replace(
            event,
            experiment_id=after.id,
            attempt=attempt_of_last if seq == last_seq else attempt_before,
            seq=seq,
            time=now,
        )
        for seq, event in enumerate(events, first_seq)
    )
    return replace(after, last_seq=last_seq), stamped
