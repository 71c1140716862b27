"""From the bytes of a request to a checked struct, and back."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from kanad_server import wording
from kanad_server.errors import BodyTooLarge, Impossible, Malformed, NotJson
from kanad_solvers.errors import FieldError
from kanad_solvers.registry import METHODS, TASKS

T = TypeVar("T")

MAX_DEPTH = 64
"""Deeper nesting than any request needs; a reader that recurses must not be led further."""
MAX_SHOWN = 80
LARGE_BYTES = 64 * 1024
EXPLAINED_BYTES = 256 * 1024
"""The errors of a larger body tell the rule and the path alone: to find the value, all of it would become objects."""

_KNOWN = {".method.name": tuple(METHODS), ".task.name": tuple(TASKS)}

_encode = msgspec.json.Encoder().encode
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a JSON request.

    Raises:
        NotJson: another content type.
        BodyTooLarge: more than `max_bytes`; the rest is not read.
    """
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise NotJson("not_json", f"the body must be application/json, not {content_type[:MAX_SHOWN]!r}")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise NotJson("not_json", f"the body must be sent as it is, not coded as {coding[:MAX_SHOWN]!r}")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:19]) > max_bytes:
        raise BodyTooLarge("body_too_large", f"the body has more than {max_bytes} bytes")
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > max_bytes:
            raise BodyTooLarge("body_too_large", f"the body has more than {max_bytes} bytes")
    return bytes(parts)


async def until_gone(receive: Receive) -> None:
    """Wait until the client has gone; for after its body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def beside(read: Callable[[bytes], T], body: bytes) -> T:
    """`read(body)`, in a thread where the body is large, so that nobody waits for it."""
    return read(body) if len(body) < LARGE_BYTES else await asyncio.to_thread(read, body)


async def decoded(body: bytes, kind: type[T]) -> T:
    """`decode`, beside the loop where the body is large."""
    return await beside(partial(decode, kind=kind), body)


def decode(body: bytes, kind: type[T]) -> T:
    """`body` as a `kind`.

    Raises:
        Malformed: it is not JSON.
        Impossible: it is JSON, but not a `kind`; names the field, the rule and the value.
    """
    if _is_deep(body):
        raise Malformed("malformed_json", f"the body is nested deeper than {MAX_DEPTH} levels")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _impossible(_field_error(str(error), body, kind)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        number = _not_finite(body)
        if number is not None:
            raise _impossible(number) from None
        raise Malformed("malformed_json", f"the body is not JSON: {error}") from None


def convert(value: object, kind: type[T], place: Callable[[str], str]) -> T:
    """A part of a body that was decoded already, as a `kind`; `place` says where in the body its fields are.

    Raises:
        Impossible: it is not a `kind`; names the field, the rule and the value.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _field_error(str(error), _encode(value), kind)
        raise _impossible(FieldError(place(found.path), found.message)) from None


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` as a JSON answer."""
    return Response(_encode(value), status_code=status, headers=headers, media_type="application/json")


def query_int(request: Request, name: str, default: int, *, low: int, high: int) -> int:
    """An integer of the query string.

    Raises:
        Malformed: it is not one, or out of range.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) or not low <= int(text) <= high:
        raise Malformed("invalid_query", f"{name} must be an integer from {low} to {high}, got {text[:MAX_SHOWN]!r}")
    return int(text)


def _impossible(error: FieldError) -> Impossible:
    return Impossible("invalid_spec", f"{error.path}: {error.message}", errors=[error])


def _field_error(text: str, body: bytes, kind: Any) -> FieldError:
    """msgspec's words ("rule - at `path`") in ours, with the value that broke the rule."""
    rule, path = wording.split(text)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", rule, re.DOTALL)
    if unknown:
        return FieldError(f"{path}.{unknown[1][:MAX_SHOWN]}", "unknown field")
    known = next((names for end, names in _KNOWN.items() if path.endswith(end)), None)
    if known is not None and rule.startswith("Invalid value"):
        return FieldError(path, f"must be one of {', '.join(known)}; got {str(_value_at(path, body))[:MAX_SHOWN]!r}")
    value = _value_at(path, body)
    whole = _value_at("$", body) if rule.startswith("Invalid enum value") else None
    rule = wording.rule_of(rule, wording.choices_at(kind, path, whole) if whole is not None else ())
    if isinstance(value, str | int | float) and "got" not in rule and repr(value) not in rule:
        rule = f"{rule}, got {str(value)[:MAX_SHOWN]!r}" if isinstance(value, str) else f"{rule}, got {value}"
    return FieldError(path, rule[:500])


def _value_at(path: str, body: bytes) -> object:
    """The value at a path like ``$.a[0].b``; None where the path cannot be followed, or the body is large."""
    if len(body) > EXPLAINED_BYTES:
        return None
    try:
        value: Any = json.loads(body)
        for name, index in wording.STEP.findall(path):
            value = value[int(index)] if index else value[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return value


def _not_finite(body: bytes) -> FieldError | None:
    """The first NaN or infinity of a body that is JSON but for it (as Python's own `json` writes them)."""
    if len(body) > EXPLAINED_BYTES:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for path, number in _numbers(value, "$"):
        if not math.isfinite(number):
            return FieldError(path, f"must be a finite number, got {number}")
    return None


def _numbers(value: object, path: str) -> Any:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{index}]")


def _is_deep(body: bytes) -> bool:
    """Whether brackets outside strings nest deeper than MAX_DEPTH."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _brackets(body)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")  # one level, all of it at once
        if inner == brackets:
            return brackets.count(b"[") > MAX_DEPTH
        brackets = inner
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _brackets(body: bytes) -> bytes:
    """The brackets outside strings, all of one kind; found without an object for each string or bracket."""
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NO_BRACKETS)
    outside = BytesIO()
    outside.writelines(bare.replace(b'""', b"").split(b'"')[::2])  # two quotes end a string and begin one: no change
    return outside.getvalue().translate(_ONE_KIND)
