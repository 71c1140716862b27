"""The statement for one page of the list: filters, order, and a keyset cursor that survives inserts."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from kanad_server.errors import Malformed
from kanad_server.store.base import Filter

# An experiment without the value sorts above every one that has it.
_COLUMNS = {
    "created_at": "e.number",
    "finished_at": "coalesce(e.finished_at, '~')",
    "energy_hartree": "coalesce(e.energy_hartree, 1e300)",
    "name": "e.name",
}


def page_statement(wanted: Filter) -> tuple[str, list[Any]]:
    """SQL and its parameters for one page; one row more than `limit` tells that there is a next page."""
    column, falling = _order(wanted)
    conditions, parameters = _conditions(wanted)
    if wanted.cursor is not None:
        value, number = decode_cursor(wanted.cursor)
        conditions.append(f"({column}, e.number) {'<' if falling else '>'} (?, ?)")
        parameters += [value, number]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    direction = "DESC" if falling else "ASC"
    # Only names from _COLUMNS and literals above are put into the text; every value is a parameter.
    statement = f"""
        SELECT e.*, {column} AS sort_value,
               (SELECT max(seq) FROM events WHERE experiment_id = e.id) AS last_seq
        FROM experiments AS e {where}
        ORDER BY {column} {direction}, e.number {direction}
        LIMIT ?"""  # noqa: S608
    return statement, [*parameters, wanted.limit + 1]


def encode_cursor(value: str | float, number: int) -> str:
    """An opaque place in the list."""
    return base64.urlsafe_b64encode(msgspec.json.encode([value, number])).decode()


def decode_cursor(cursor: str) -> tuple[str | float, int]:
    """The place that `encode_cursor` wrote.

    Raises:
        Malformed: it is not one of ours.
    """
    try:
        value, number = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str | float, int])
    except ValueError as error:
        raise Malformed("invalid_cursor", "cursor is not one that this server gave out") from error
    return value, number


def _order(wanted: Filter) -> tuple[str, bool]:
    return _COLUMNS[wanted.sort.removeprefix("-")], wanted.sort.startswith("-")


def _conditions(wanted: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []
    if wanted.owner is not None:
        conditions.append("e.owner = ?")
        parameters.append(wanted.owner)
    if wanted.status is not None:
        conditions.append("e.status = ?")
        parameters.append(wanted.status)
    if wanted.method is not None:
        conditions.append("e.method = ?")
        parameters.append(wanted.method)
    if wanted.tag is not None:
        conditions.append("EXISTS (SELECT 1 FROM json_each(e.tags) WHERE value = ?)")
        parameters.append(wanted.tag)
    if wanted.q is not None:
        conditions.append("(instr(lower(e.name), lower(?)) OR e.id = ?)")
        parameters += [wanted.q, wanted.q]
    return conditions, parameters
