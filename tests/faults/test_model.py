"""Life cycle, dispatch and store against a model, with fake clocks and fake workers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults import figures
from tests.faults.scale import count
from tests.support.machine import Machine


@pytest.mark.slow
def test_r23_any_order_of_changes() -> None:
    """Submits, ends, losses, cancels, retries, deadlines, restarts, crashes, clocks that jump: as the model says."""
    runs, steps = count(500), 50
    many = settings(
        max_examples=runs, stateful_step_count=steps, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    Machine.late_words = 0
    run_state_machine_as_test(Machine, settings=many)
    assert Machine.late_words > 0
    figures.record(
        "R23", "state machine against a model, clocks that jump", runs=runs, steps=steps, counter_examples=0,
        late_words_refused=Machine.late_words,
    )  # fmt: skip
