"""Life cycle, dispatch and store against a model, in orders that nobody thought of."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.machine import Machine


def test_any_order_of_changes_leaves_what_the_model_says() -> None:
    few = settings(
        max_examples=8, stateful_step_count=25, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=few)
