"""Reference cases: specs with published values (tests/data/reference_cases.json), and what a result says to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data/reference_cases.json").read_text())


def found(result: dict[str, Any], expected: dict[str, Any]) -> Any:
    """The value of a result (as plain data) that `expected` speaks of."""
    value: Any = result
    for step in expected["path"].split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    if "measure" in expected:
        ((kind, atoms),) = expected["measure"].items()
        points = np.array(value)[atoms]
        return distance(points) if kind == "distance" else angle(points)
    return float(np.linalg.norm(value)) if expected.get("norm") else value


def distance(points: np.ndarray[Any, Any]) -> float:
    """Between two points."""
    return float(np.linalg.norm(points[1] - points[0]))


def angle(points: np.ndarray[Any, Any]) -> float:
    """At the second of three points, degrees."""
    first, second = points[0] - points[1], points[2] - points[1]
    return float(np.degrees(np.arccos(first @ second / np.linalg.norm(first) / np.linalg.norm(second))))


def check(result: dict[str, Any], case: dict[str, Any]) -> None:
    """Raises AssertionError where a value is not the published one."""
    for expected in case["expect"]:
        value = found(result, expected)
        if "value" in expected:
            np.testing.assert_allclose(
                value, expected["value"], rtol=0, atol=expected["tolerance"], err_msg=expected["path"]
            )
        else:
            assert expected["min"] <= value <= expected["max"], (expected["path"], value)


def refused(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The refusals that a case expects."""
    return (expected["error"] for expected in case["expect"] if expected["path"] == "refused")
