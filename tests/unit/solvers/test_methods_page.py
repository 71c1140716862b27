"""docs/methods.md: each method and task with limits, cost and an example that a server would take."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kanad_solvers.prepare import prepare
from kanad_solvers.registry import METHODS, TASKS
from kanad_solvers.spec import Spec, name_of

PAGE = (Path(__file__).parents[3] / "docs/methods.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("name", [*METHODS, *TASKS])
def test_every_method_and_task_has_limits_cost_and_an_example(name: str) -> None:
    (text,) = (text for title, text in SECTIONS.items() if f"`{name}`" in title)
    assert re.search(r"Limits?\b", text)
    assert re.search(r"\b[Cc]ost\b", text)
    examples = [msgspec.json.decode(found, type=Spec) for found in re.findall(r"```json\n(.*?)```", text, re.S)]
    shared = len([title for title in SECTIONS if f"`{name}`" in title and title.count("`") > 2])
    assert shared or any(name in (name_of(spec.method), name_of(spec.task)) for spec in examples)
    assert examples


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_can_run(example: str) -> None:
    assert prepare(msgspec.json.decode(example, type=Spec)).estimate.feasible
