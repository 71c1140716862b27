"""Energies and properties against values with sources (tests/data/reference_cases.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers.registry import METHODS
from tests.unit.solvers.solving import solve_spec

CASES = [
    case
    for case in json.loads((Path(__file__).parents[2] / "data/reference_cases.json").read_text())
    if case["spec"]["method"]["name"] in METHODS
    and case["spec"].get("task", {"name": "energy"})["name"] in METHODS[case["spec"]["method"]["name"]].tasks
]
SLOW = {"n2-sqd-monotone"}


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return value


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"], marks=[pytest.mark.slow] * (case["id"] in SLOW)) for case in CASES]
)
def test_the_value_is_the_published_one(case: dict[str, Any]) -> None:
    result, _ = solve_spec(case["spec"])
    found = msgspec.to_builtins(result)
    for expected in case["expect"]:
        value = at(found, expected["path"])
        if "value" not in expected:
            assert expected["min"] <= value <= expected["max"]
            continue
        if expected["path"].endswith("dipole_debye") and np.ndim(expected["value"]) == 0:
            value = np.linalg.norm(value)
        np.testing.assert_allclose(value, expected["value"], rtol=0, atol=expected["tolerance"])


def test_there_are_cases() -> None:
    assert len(CASES) >= 17
