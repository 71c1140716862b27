"""Rules in the words of the one who broke them; and what a server's address is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kanad_server import address, wording
from kanad_solvers.spec import Spec

HF: dict[str, Any] = {"molecule": {"library": "H2"}, "method": {"name": "hf"}}


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        ({"priority": 101}, "$.priority", "must be at most 100"),
        ({"priority": "high"}, "$.priority", "must be a whole number, got text"),
        ({"method": {"name": "hf", "reference": "x"}}, "$.method.reference", "must be one of "),
        ({"solvent": {"model": "x"}}, "$.solvent.model", "must be one of "),
        ({"molecule": {"library": ""}}, "$.molecule.library", "must have at least 1 character"),
        ({"method": {}}, "$.method", "name is missing"),
        ({"tags": [1]}, "$.tags[0]", "must be text, got a whole number"),
    ],
)
def test_a_rule_names_what_is_wanted(change: dict[str, Any], path: str, rule: str) -> None:
    value = HF | change
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Spec)
    found = wording.of(caught.value, Spec, value)
    assert found[0] == path
    assert found[1].startswith(rule)
    assert not rule.startswith("must be one of") or found[1].count(",") >= 1


@pytest.mark.parametrize(
    "url", ["http://a", "https://a.example:8443/kanad", "http://[::1]:8000", "http://127.0.0.1:1/"]
)
def test_an_address_is_taken(url: str) -> None:
    assert address.parse(url).hostname


@pytest.mark.parametrize(
    "url", ["a:1", "http://", "http://:80", "http://a:0", "http://a:x", "http://a..b", "http://a#b"]
)
def test_what_is_no_address_is_refused_with_the_rule(url: str) -> None:
    with pytest.raises(ValueError, match="must be http://HOST:PORT or https://HOST:PORT, got"):
        address.parse(url)
