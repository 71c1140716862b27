"""One page of the list: filters, order, and a keyset cursor that survives inserts.

Two ways lead to a page. Where a filter fits few experiments, those are gathered and sorted; otherwise the index of the
wanted order is walked until the page is full. `GATHERED` is where both cost about the same with 100,000 experiments.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from kanad_server.errors import Malformed
from kanad_server.store.base import Filter

GATHERED = 2_000
ID_LENGTH = 36
SHORTEST_INDEXED = 3
"""Characters of the shortest text that the index of names knows."""

# An experiment without the value sorts above every one that has it.
_COLUMNS = {
    "created_at": "e.number",
    "finished_at": "coalesce(e.finished_at, '~')",
    "energy_hartree": "coalesce(e.energy_hartree, 1e300)",
    "name": "e.name",
}
_NAMED = "SELECT rowid AS number FROM experiment_names WHERE experiment_names MATCH ?"


class _Condition(NamedTuple):
    """A filter: what a row must fulfil, and the statement that finds the numbers of all rows that may."""

    text: str
    parameters: list[Any]
    finds: str | None
    finds_with: Sequence[Any] = ()


def read_page(connection: sqlite3.Connection, wanted: Filter) -> tuple[list[sqlite3.Row], str | None]:
    """The rows of one page, and the cursor of the next one."""
    conditions = _conditions(wanted)
    statement, parameters = _statement(wanted, conditions, _rarest(connection, conditions))
    rows = connection.execute(statement, parameters).fetchall()
    page = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return page, encode_cursor(wanted.sort, page[-1]["sort_value"], page[-1]["number"]) if more else None


def encode_cursor(sort: str, value: str | float, number: int) -> str:
    """An opaque place in the list."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort, value, number])).decode()


def decode_cursor(cursor: str, sort: str) -> tuple[str | float, int]:
    """The place that `encode_cursor` wrote.

    Raises:
        Malformed: it is not one of ours, or of another order.
    """
    try:
        made_for, value, number = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor), type=tuple[str, str | float, int]
        )
    except ValueError as error:
        raise Malformed("invalid_cursor", "cursor is not one that this server gave out") from error
    if made_for != sort:
        raise Malformed("invalid_cursor", f"cursor belongs to sort={made_for[:40]}, not to sort={sort}")
    return value, number


def _rarest(connection: sqlite3.Connection, conditions: list[_Condition]) -> _Condition | None:
    """The condition that the fewest rows fulfil, if those are few."""
    rarest, fewest = None, GATHERED + 1
    for condition in conditions:
        if condition.finds is not None:
            statement = f"SELECT count(*) FROM ({condition.finds} LIMIT {fewest})"  # noqa: S608  # our own text
            (count,) = connection.execute(statement, condition.finds_with).fetchone()
            if count < fewest:
                rarest, fewest = condition, count
    return rarest


def _statement(wanted: Filter, conditions: list[_Condition], rarest: _Condition | None) -> tuple[str, list[Any]]:
    """SQL and its parameters; one row more than `limit` tells that there is a next page.

    Only names from this file are put into the text; every value is a parameter.
    """
    order, falling = wanted.sort.removeprefix("-"), wanted.sort.startswith("-")
    column = _COLUMNS[order]
    parameters: list[Any] = []
    if rarest is not None:
        source = f"({rarest.finds}) AS found CROSS JOIN experiments AS e ON e.number = found.number"
        parameters += rarest.finds_with
    else:
        source = f"experiments AS e {_index(wanted, order)}"
    texts = [condition.text for condition in conditions]
    for condition in conditions:
        parameters += condition.parameters
    if wanted.cursor is not None:
        value, number = decode_cursor(wanted.cursor, wanted.sort)
        sign = "<" if falling else ">"
        texts.append(f"{column} {sign}= ? AND ({column}, e.number) {sign} (?, ?)")
        parameters += [value, value, number]
    where = f"WHERE {' AND '.join(texts)}" if texts else ""
    direction = "DESC" if falling else "ASC"
    statement = f"""
        SELECT e.*, {column} AS sort_value,
               (SELECT max(seq) FROM events WHERE experiment_id = e.id) AS last_seq
        FROM {source} {where}
        ORDER BY {column} {direction}, e.number {direction}
        LIMIT ?"""  # noqa: S608
    return statement, [*parameters, wanted.limit + 1]


def _index(wanted: Filter, order: str) -> str:
    """The index to walk; the numbers themselves are the order of acceptance."""
    if wanted.status is not None:
        return f"INDEXED BY list_status_by_{order}"
    if wanted.method is not None:
        return f"INDEXED BY list_method_by_{order}"
    return "NOT INDEXED" if order == "created_at" else f"INDEXED BY list_by_{order}"


def _conditions(wanted: Filter) -> list[_Condition]:
    found = [
        _Condition(f"e.{name} = ?", [value], f"SELECT number FROM experiments WHERE {name} = ?", [value])  # noqa: S608
        for name in ("owner", "status", "method", "campaign")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.tag is not None:
        found.append(_tagged(wanted.tag))
    if wanted.q is not None:
        found.append(_search(wanted.q))
    return found


def _tagged(tag: str) -> _Condition:
    """One of the tags, as a whole. SQLite's JSON functions end a text at NUL, so that such a tag is found by what is
    before it, and told from others by the tags as they were sent."""
    indexed = tag.partition("\0")[0]
    text, parameters = "EXISTS (SELECT 1 FROM experiment_tags WHERE tag = ? AND number = e.number)", [indexed]
    if "\0" in tag:
        text += " AND instr(e.tags, ?)"
        parameters.append(msgspec.json.encode(tag).decode())
    return _Condition(text, parameters, "SELECT number FROM experiment_tags WHERE tag = ?", [indexed])


def _search(text: str) -> _Condition:
    """Part of a name in any case, or a whole id."""
    quoted = '"' + text.replace('"', '""') + '"'
    is_indexed = len(text) >= SHORTEST_INDEXED and "\0" not in text
    if len(text) != ID_LENGTH:  # without the id, rows that do not fit are passed over in the index alone
        return _Condition("instr(lower(e.name), lower(?))", [text], _NAMED if is_indexed else None, [quoted])
    finds = f"{_NAMED} UNION SELECT number FROM experiments WHERE id = ?" if is_indexed else None  # noqa: S608
    return _Condition("(instr(lower(e.name), lower(?)) OR e.id = ?)", [text, text], finds, [quoted, text])
