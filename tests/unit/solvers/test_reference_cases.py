"""Energies and properties against values with sources (tests/data/reference_cases.json)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kanad_solvers.errors import InvalidSpec
from kanad_solvers.prepare import prepare
from kanad_solvers.spec import Spec
from tests.support.reference import CASES, check, refused
from tests.unit.solvers.solving import solve_spec

SLOW = {case["id"] for case in CASES if case.get("slow")}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["id"], marks=[pytest.mark.slow, pytest.mark.timeout(900)] * (case["id"] in SLOW))
        for case in CASES
        if not list(refused(case))
    ],
)
def test_the_value_is_the_published_one(case: dict[str, Any]) -> None:
    result, _ = solve_spec(case["spec"])
    check(msgspec.to_builtins(result), case)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES if list(refused(case))])
def test_an_impossible_case_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        prepare(msgspec.convert(case["spec"], Spec))


def test_no_case_is_left_out() -> None:
    assert len(CASES) >= 51
    assert all(case["source"] for case in CASES)
