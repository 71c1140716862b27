"""The OpenAPI document: every body has an example, and each example is what its schema says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from kanad_server.http.openapi import OPERATIONS, document

jsonschema = pytest.importorskip("jsonschema")


DOCUMENT = msgspec.json.decode(msgspec.json.encode(document()))


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of the document: where it stands, and what is said of it."""
    for path, calls in DOCUMENT["paths"].items():
        for method, call in calls.items():
            for name, one in ({"request": call.get("requestBody", {})} | call["responses"]).items():
                for content in one.get("content", {}).values():
                    yield f"{method} {path} {name}", content


def problem_of(content: dict[str, Any]) -> str | None:
    """Why the example is not what its schema says."""
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    found = next(jsonschema.Draft202012Validator(schema).iter_errors(content["example"]), None)
    return None if found is None else str(found.message)


def test_every_body_has_an_example_that_is_what_its_schema_says() -> None:
    alike = {msgspec.json.encode(content): (where, content) for where, content in bodies()}
    assert len(alike) > 20
    assert {where: problem for where, content in alike.values() if (problem := problem_of(content))} == {}


def test_a_wrong_example_would_be_seen() -> None:
    content = DOCUMENT["paths"]["/api/v1/experiments"]["post"]["requestBody"]["content"]["application/json"]
    assert problem_of(content) is None
    assert problem_of(content | {"example": content["example"] | {"method": {"name": "guess"}}})


def test_examples_are_decoded_as_they_would_be_from_a_line() -> None:
    for operation in OPERATIONS:
        call = DOCUMENT["paths"][operation.path][operation.method.lower()]
        if operation.request is not None:
            example = call["requestBody"]["content"]["application/json"]["example"]
            msgspec.convert(example, operation.request)
