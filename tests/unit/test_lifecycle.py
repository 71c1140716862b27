"""The state machine, without anything around it."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from kanad_server import lifecycle
from kanad_server.lifecycle import RefusedChange
from kanad_server.testing import spec
from kanad_server.wire import Convergence, Error, Experiment, Percentage, Progress, Stage

NOW = "2026-01-01T00:00:00.000Z"
ERROR = Error(code="worker_lost", message="it died")


def queued() -> Experiment:
    made = Experiment(
        id="x",
        name="",
        tags=(),
        priority=0,
        status="queued",
        spec=spec(),
        spec_hash="",
        attempt=1,
        progress=Percentage(),
        last_seq=0,
        created_at=NOW,
    )
    return lifecycle.accepted(made, NOW)[0]


def after(*changes: lifecycle.Change) -> Experiment:
    experiment = queued()
    for change in changes:
        experiment, _ = lifecycle.apply(experiment, change, NOW)
    return experiment


def all_changes(attempt: int) -> list[lifecycle.Change]:
    return [
        lifecycle.Start(attempt),
        lifecycle.Hear(attempt, Convergence(series="scf", iteration=1, energy_hartree=-1.0)),
        lifecycle.Complete(attempt, -1.0, b"{}"),
        lifecycle.Fail(attempt, ERROR),
        lifecycle.Lose(attempt, ERROR),
        lifecycle.Interrupt(attempt),
        lifecycle.RequestCancel(),
        lifecycle.Cancel(),
        lifecycle.Retry(),
        lifecycle.Note("no slot is so large"),
        lifecycle.Prioritize(7),
    ]


def allowed(experiment: Experiment) -> set[str]:
    names = set()
    for change in all_changes(experiment.attempt):
        try:
            lifecycle.apply(experiment, change, NOW)
        except RefusedChange:
            continue
        names.add(type(change).__name__)
    return names


def test_each_state_allows_exactly_its_changes() -> None:
    running = after(lifecycle.Start(1))
    assert allowed(queued()) == {"Start", "Fail", "RequestCancel", "Cancel", "Note", "Prioritize"}
    assert allowed(running) == {"Hear", "Complete", "Fail", "Lose", "Interrupt", "RequestCancel", "Cancel"}
    assert allowed(after(lifecycle.Start(1), lifecycle.Complete(1, -1.0, b""))) == set()
    assert allowed(after(lifecycle.Start(1), lifecycle.Fail(1, ERROR))) == {"Retry"}
    assert allowed(after(lifecycle.Cancel())) == {"Retry"}


def test_a_late_word_of_a_lost_attempt_is_refused() -> None:
    second = after(lifecycle.Start(1), lifecycle.Lose(1, ERROR), lifecycle.Start(2))
    for change in all_changes(1)[1:6]:
        with pytest.raises(RefusedChange):
            lifecycle.apply(second, change, NOW)


def test_numbers_run_over_all_attempts() -> None:
    experiment = queued()
    events: list[Progress] = []
    for change in (
        lifecycle.Start(1),
        lifecycle.Lose(1, ERROR),
        lifecycle.Start(2),
        lifecycle.Interrupt(2),
        lifecycle.Start(3),
        lifecycle.Fail(3, ERROR),
        lifecycle.Retry(),
        lifecycle.Start(4),
        lifecycle.Complete(4, -1.0, b""),
    ):
        experiment, new = lifecycle.apply(experiment, change, NOW)
        events += new
    assert [event.seq for event in events] == list(range(2, len(events) + 2))
    attempts = [event.attempt for event in events]
    assert attempts == sorted(attempts)
    assert experiment.last_seq == events[-1].seq
    assert experiment.status == "completed"


def test_progress_rises_with_the_stages_and_is_100_only_when_completed() -> None:
    experiment = after(lifecycle.Start(1))
    for stage in range(7):
        change = lifecycle.Hear(1, Stage(stage=stage, last_stage=6, message="", energy_hartree=-1.0))
        experiment, _ = lifecycle.apply(experiment, change, NOW)
    assert experiment.progress.percent == lifecycle.ALMOST_DONE
    assert experiment.progress.stage == 6
    done, (event,) = lifecycle.apply(experiment, lifecycle.Complete(1, -1.5, b""), NOW)
    assert (done.progress.percent, done.energy_hartree) == (100.0, -1.5)
    assert event.progress == 100.0  # type: ignore[attr-defined]  # a Status


def test_a_retry_forgets_the_former_end() -> None:
    failed = after(lifecycle.Start(1), lifecycle.RequestCancel(), lifecycle.Fail(1, ERROR))
    again, _ = lifecycle.apply(failed, lifecycle.Retry(), NOW)
    assert (again.status, again.attempt, again.error, again.finished_at) == ("queued", 2, None, None)
    assert not again.cancel_requested


def test_no_sequence_of_changes_leaves_a_terminal_state_but_by_retry() -> None:
    for names in itertools.product(range(9), repeat=3):
        experiment = replace(queued())
        for index in names:
            change = all_changes(experiment.attempt)[index]
            try:
                changed, _ = lifecycle.apply(experiment, change, NOW)
            except RefusedChange:
                continue
            if experiment.is_final:
                assert isinstance(change, lifecycle.Retry)
            experiment = changed
