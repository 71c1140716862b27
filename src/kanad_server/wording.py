"""What msgspec says of a value that breaks a rule, in the words of the one who sent it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
"""A step of a path like ``$.a[0].b``: a name, or an index."""
_KINDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "an object", "null": "null",
}  # fmt: skip
_COUNTED = {"str": ("character", "characters"), "array": ("entry", "entries"), "object": ("entry", "entries")}
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}


def split(text: str) -> tuple[str, str]:
    """The rule and the path of ``rule - at `path```; the path is ``$`` where none is said."""
    rule, _, place = text.partition(" - at `")
    return rule, place.removesuffix("`") or "$"


def rule_of(said: str, choices: tuple[Any, ...] = ()) -> str:
    """The rule that msgspec says was broken; `choices` are the values of an enumeration, as `choices_at` finds them."""
    if choices and said.startswith("Invalid enum value"):
        return f"must be one of {', '.join(map(str, choices))}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", said)
    if missing:
        return f"{missing[1]} is missing"
    bound = re.fullmatch(r"Expected `(\w+)`( of length)? (<=|>=|<|>) (\S+)", said)
    if bound:
        kind, length, sign, value = bound.groups()
        limit = f"{_BOUNDS[sign]} {value}"
        return f"must have {limit} {_counted(kind, value)}" if length else f"must be {limit}"
    kinds = re.fullmatch(r"Expected `([\w | ]+)`(?:, got `(\w+)`)?", said)
    if kinds and set(kinds[1].split(" | ")) <= _KINDS.keys():
        wanted = " or ".join(_KINDS[kind] for kind in kinds[1].split(" | "))
        return f"must be {wanted}" + (f", got {_KINDS.get(kinds[2], kinds[2])}" if kinds[2] else "")
    return said


def choices_at(kind: Any, path: str, value: object) -> tuple[Any, ...]:
    """The values that an enumeration at a path may have; none where there is no enumeration.

    Args:
        kind: the type of what was sent.
        path: such as ``$.method.reference``.
        value: what was sent; it says which member of a tagged union is meant.
    """
    node: Any = _described(kind)
    for name, index in STEP.findall(path):
        node = _meant(node, value)
        if isinstance(node, inspect.StructType):
            fields = {field.encode_name: field.type for field in node.fields}
            node = fields.get(name)
        elif isinstance(node, inspect.ListType | inspect.VarTupleType):
            node = node.item_type
        elif isinstance(node, inspect.DictType):
            node = node.value_type
        else:
            return ()
        value = _inside(value, name, index)
    node = _meant(node, value)
    return tuple(node.values) if isinstance(node, inspect.LiteralType) else ()


def _counted(kind: str, value: str) -> str:
    one, many = _COUNTED[kind]
    return one if value == "1" else many


@cache
def _described(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _meant(node: Any, value: object) -> Any:
    """The member of a union that a value is of: by its tag where it has one, else the one that is not null."""
    if isinstance(node, inspect.Metadata):
        return _meant(node.type, value)
    if not isinstance(node, inspect.UnionType):
        return node
    members = [one for one in node.types if not isinstance(one, inspect.NoneType)]
    tagged = (
        one
        for one in members
        if isinstance(one, inspect.StructType) and isinstance(value, dict) and value.get(one.tag_field) == one.tag
    )
    return next(tagged, members[0])


def _inside(value: Any, name: str, index: str) -> object:
    try:
        return value[int(index)] if index else value[name]
    except (LookupError, TypeError):
        return None


def of(error: msgspec.ValidationError, kind: Any, value: object) -> tuple[str, str]:
    """The path and the rule of an error, for a value that is at hand."""
    said, path = split(str(error))
    return path, rule_of(said, choices_at(kind, path, value))
