"""Conditions under which a run counts as failed: ``e2e_p99_ms>40``."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from kanad_server.load.errors import BadScenario
from kanad_server.load.tally import metric_names

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_SHAPE = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*", re.ASCII)


class Condition(msgspec.Struct, frozen=True):
    """A metric, a comparison, a number."""

    metric: str
    comparison: str
    number: float

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.number:g}"

    def holds(self, metrics: Mapping[str, float | None]) -> str | None:
        """What was measured, when the condition holds; a metric without a value cannot be trusted, so it holds then."""
        value = metrics[self.metric]
        if value is None:
            return f"{self}: {self.metric} has no values in this run"
        if _OPERATORS[self.comparison](value, self.number):
            return f"{self}: {self.metric} is {value:g}"
        return None


def parse_condition(text: str) -> Condition:
    """The condition that `text` spells.

    Raises:
        BadScenario: it is none, or names a metric that does not exist.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise BadScenario(f"--fail-if takes METRIC, one of {' '.join(_OPERATORS)}, and a number; got {text!r}")
    names = metric_names()
    if match[1] not in names:
        near = difflib.get_close_matches(match[1], names, n=3, cutoff=0.0)
        raise BadScenario(
            f"--fail-if {text!r}: there is no metric {match[1]!r}; near it: {', '.join(near)}; "
            "all are listed by kanad load --metrics"
        )
    return Condition(match[1], match[2], float(match[3]))
