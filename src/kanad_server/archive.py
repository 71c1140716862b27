"""Experiments as lines of JSON: written from a data directory, and taken into another one.

Each line is one experiment with its log and its result. Files of orbitals are not in it (`backup` has them).
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec.structs import replace

from kanad_server import datadir
from kanad_server.errors import KanadError, StartRefused
from kanad_server.store import opening
from kanad_server.store.base import Campaign
from kanad_server.store.offline import transaction
from kanad_server.store.rows import campaign_of, campaign_row, from_row, to_row
from kanad_server.store.sqlite import migrations, named_queries, read_text
from kanad_server.tokens import check_name
from kanad_server.wire import Event, Experiment, Result, Status, Thinned
from kanad_solvers.spec import spec_hash

FORMAT = "kanad-experiment-1"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
LINES_AT_ONCE = 100

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(Event).decode


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One experiment; `made_with` says by which versions its result may be used again."""

    format: str = FORMAT
    experiment: Experiment
    events: list[Event]
    result: Result | None = None
    made_with: str | None = None
    campaign: Campaign | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the lines: taken in, there already, or not ended when they were written."""

    imported: int
    present: int
    unfinished: int


def export(data: Path, target: Path) -> int:
    """Write every experiment to `target`, the oldest first, as of one moment; returns how many. A server may run.

    Raises:
        KanadError: `target` is there already or cannot be written, or there is no store.
        StartRefused: the store cannot be read.
    """
    source = datadir.store_file(data)
    if not source.exists():
        raise KanadError("no_store", f"there is nothing to export: {source} does not exist; see --data-dir")
    if target.exists():
        raise KanadError("file_exists", f"{target} exists; an export never replaces a file: choose another name")
    if opening.examine(source, len(migrations()), check_s=0.0).schema != len(migrations()):
        raise StartRefused("store_other_version", f"{source} is of an older version; start the server on it once")
    partial = target.with_name(f"{target.name}.partial")
    try:
        count = 0
        with closing(opening.read_only(source)) as connection, partial.open("wb") as file:
            for line in _lines(connection):
                file.write(_encode(line) + b"\n")
                count += 1
        opening.sync(partial)
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise KanadError("export_failed", f"{target} could not be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def take_in(data: Path, source: Path, owner: str | None = None) -> Counts:
    """Take the ended experiments of `source` into the data directory, for `owner` where one is named; a server may run.

    All lines are checked before the first one is kept; an experiment that is there already is left as it is.

    Raises:
        KanadError: a line is not what `export` writes; the message has its number. Nothing was kept.
        StartRefused: the data directory cannot be used.
    """
    if owner is not None:
        check_name(owner)
    for _ in read(source):
        pass
    counts: Counter[str] = Counter()
    with transaction(data) as (connection, sql):
        for number, line in enumerate(read(source), 1):
            experiment = line.experiment if owner is None else replace(line.experiment, owner=owner)
            counts[_keep(connection, sql, replace(line, experiment=experiment))] += 1
            if number % LINES_AT_ONCE == 0:
                connection.commit()  # a server that runs gets its turn
    return Counts(imported=counts["imported"], present=counts["present"], unfinished=counts["unfinished"])


def read(source: Path) -> Iterator[Line]:
    """The checked lines of a file.

    Raises:
        KanadError: the first line that breaks a rule, by its number.
    """
    decode, number = msgspec.json.Decoder(Line).decode, 0
    try:
        with source.open("rb") as file:
            for text in file:
                number += 1
                line = decode(text)
                _check(line)
                yield line
    except OSError as error:
        raise KanadError("import_failed", f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, KanadError) as error:  # msgspec's is a ValueError
        raise KanadError("invalid_line", f"{source}, line {number}: {error}; nothing was imported") from error


def _check(line: Line) -> None:
    """Raises ValueError, in words, where a line contradicts itself: nothing later would find that out."""
    experiment = line.experiment
    if line.format != FORMAT:
        raise ValueError(f"the format is {line.format[:40]!r}, this program reads {FORMAT!r}")
    if ID.fullmatch(experiment.id) is None:
        raise ValueError(f"{experiment.id[:40]!r} is no id of an experiment")
    check_name(experiment.owner)
    if experiment.spec_hash != spec_hash(experiment.spec):
        raise ValueError("spec_hash is not that of the spec")
    _check_log(experiment, line.events)
    if (line.result is not None) != (experiment.status == "completed"):
        raise ValueError(f"the experiment is {experiment.status}, so it {'has no' if line.result else 'has a'} result")
    if (experiment.campaign or None) != (line.campaign and line.campaign.id):
        raise ValueError("campaign is not the one that the experiment names")


def _check_log(experiment: Experiment, events: list[Event]) -> None:
    seq = 0
    for event in events:
        first = event.first_seq if isinstance(event, Thinned) else event.seq
        if first != seq + 1 or event.seq < first or event.experiment_id != experiment.id:
            raise ValueError(f"the log does not go on at {seq + 1}, or is not that of {experiment.id}")
        seq = event.seq
    if seq != experiment.last_seq:
        raise ValueError(f"the log ends at {seq}, the experiment says {experiment.last_seq}")
    end = events[-1] if events else None
    if experiment.is_final and not (isinstance(end, Status) and end.status == experiment.status):
        raise ValueError(f"the experiment is {experiment.status}, but its log does not end so")


def _lines(connection: sqlite3.Connection) -> Iterator[Line]:
    connection.row_factory = sqlite3.Row
    sql = named_queries(read_text("queries.sql"))
    connection.execute("BEGIN")  # as of one moment
    for row in connection.execute(sql["every_experiment"]):
        experiment = from_row(row)
        result = connection.execute(sql["get_result"], (experiment.id,)).fetchone()
        campaign = connection.execute(sql["get_campaign"], (experiment.campaign,)).fetchone()
        events = connection.execute(sql["events_after"], (experiment.id, 0, -1))
        yield Line(
            experiment=experiment,
            events=[_decode_event(body) for _, body in events],
            result=None if result is None else msgspec.json.decode(result[0], type=Result),
            made_with=row["made_with"],
            campaign=None if campaign is None else campaign_of(campaign),
        )


def _keep(connection: sqlite3.Connection, sql: dict[str, str], line: Line) -> str:
    """Keep one line; returns what became of it."""
    experiment, campaign = line.experiment, line.campaign
    if not experiment.is_final:
        return "unfinished"
    if connection.execute(sql["get_experiment"], (experiment.id,)).fetchone() is not None:
        return "present"
    if campaign is not None and connection.execute(sql["get_campaign"], (campaign.id,)).fetchone() is None:
        connection.execute(sql["insert_campaign"], campaign_row(campaign))
    connection.execute(sql["insert_experiment"], to_row(experiment))
    events = [(experiment.id, event.seq, _encode(event).decode()) for event in line.events]
    connection.executemany(sql["insert_event"], events)
    if line.result is not None:
        connection.execute(sql["insert_result"], (experiment.id, _encode(line.result).decode()))
    if line.made_with is not None:
        connection.execute(sql["mark_reusable"], (line.made_with, experiment.id))
    return "imported"
