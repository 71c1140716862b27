"""Backups: everything that a data directory keeps, in one file, taken while a server runs; and the way back.

A backup is a SQLite database: the store's tables as they stood at one moment, and a table with the files of finished
runs. `PRAGMA integrity_check` of any SQLite tool checks it. Checkpoints of unfinished attempts are not kept: they cost
a fresh start, nothing else.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec

from kanad_server import datadir, files
from kanad_server.errors import KanadError
from kanad_server.store import opening
from kanad_server.store.sqlite import migrations

KEPT_FILE = re.compile(r"[0-9a-f-]{36}\.orbitals", re.ASCII)
_TABLE = "CREATE TABLE backup_files (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, content BLOB NOT NULL)"
_COPY_PAGES = 1_000


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup."""

    file: str
    schema: int
    experiments: int
    results: int
    files: int
    bytes: int
    seconds: float


def backup(data: Path, target: Path) -> Kept:
    """Write everything that `data` keeps to `target`, checked, and whole or not at all; a server may run on it.

    Raises:
        KanadError: `target` is there already, or cannot be written (`backup_failed`).
        StartRefused: the store cannot be read.
    """
    begun = time.monotonic()
    source = datadir.store_file(data)
    if not source.exists():
        raise KanadError("no_store", f"there is nothing to back up: {source} does not exist; see --data-dir")
    if target.exists():
        raise KanadError("file_exists", f"{target} exists; a backup never replaces a file: choose another name")
    opening.examine(source, len(migrations()), check_s=0.0)
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(partial)) as copy:
            _copy_store(source, copy)
            _copy_files(datadir.kept_files(data), copy)
            kept = _checked(copy, target)
        kept = msgspec.structs.replace(kept, bytes=partial.stat().st_size, seconds=round(time.monotonic() - begun, 3))
        opening.sync(partial)
        partial.rename(target)
        opening.sync(target.absolute().parent)
    except (OSError, sqlite3.Error) as error:
        raise KanadError("backup_failed", f"the backup could not be written to {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return kept


def restore(source: Path, data: Path) -> Kept:
    """Bring a backup back as the data directory `data`, which must hold no experiments; every byte is checked first.

    Raises:
        KanadError: it is no sound backup, or `data` holds a store already; nothing was changed.
        StartRefused: the backup is damaged, another program's, or newer than this program.
    """
    begun = time.monotonic()
    target = datadir.store_file(data)
    if not source.exists():
        raise KanadError("no_backup", f"there is no file {source}")
    opening.examine(source, len(migrations()), check_s=0.0)
    try:
        with closing(opening.read_only(source)) as origin:
            kept = _checked(origin, source)
            with datadir.owned(data):
                if any(_has_bytes(target.with_name(target.name + end)) for end in ("", "-wal")):
                    raise KanadError(
                        "store_exists",
                        f"{data} holds a store already; nothing is replaced: move it away, or name another --data-dir",
                    )
                _restore_files(origin, datadir.kept_files(data))
                _restore_store(source, target)
    except (OSError, sqlite3.Error) as error:
        raise KanadError("restore_failed", f"{source} could not be brought back to {data}: {error}") from error
    return msgspec.structs.replace(kept, seconds=round(time.monotonic() - begun, 3))


def _copy_store(source: Path, copy: sqlite3.Connection) -> None:
    """The store as it stands now. The open transaction keeps that moment, whatever is written in the meantime."""
    with closing(opening.read_only(source)) as origin:
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
        origin.backup(copy, pages=_COPY_PAGES, sleep=0.0)
    copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it


def _copy_files(folder: Path, copy: sqlite3.Connection) -> None:
    """The files of the experiments that are in the copy."""
    copy.execute(_TABLE)
    for (experiment_id,) in copy.execute("SELECT experiment_id FROM results").fetchall():
        path = files.orbitals(folder, experiment_id)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # many have none, and one may be deleted at this moment
        digest = hashlib.sha256(content).hexdigest()
        copy.execute("INSERT INTO backup_files VALUES (?, ?, ?)", (path.name, digest, content))
    copy.commit()


def _checked(connection: sqlite3.Connection, path: Path) -> Kept:
    """What is in a backup, once every page, reference and file was found sound."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "backup_files" not in tables:
        raise KanadError("no_backup", f"{path} is a database, but not a backup made by kanad backup")
    wrong = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
    if wrong != ["ok"]:
        raise KanadError("backup_damaged", f"{path} is damaged ({wrong[0]}); use another backup")
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise KanadError("backup_damaged", f"{path} is damaged: a row refers to one that is not there")
    for name, digest, content in connection.execute("SELECT name, sha256, content FROM backup_files"):
        if KEPT_FILE.fullmatch(name) is None or hashlib.sha256(content).hexdigest() != digest:
            raise KanadError("backup_damaged", f"{path} is damaged: the file {name[:60]!r} in it is not what was kept")
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - names of ours
              for table in ("experiments", "results", "backup_files")]  # fmt: skip
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return Kept(
        file=str(path), schema=schema, experiments=counts[0], results=counts[1], files=counts[2],
        bytes=path.stat().st_size if path.exists() else 0, seconds=0.0,
    )  # fmt: skip


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _restore_files(origin: sqlite3.Connection, folder: Path) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, content in origin.execute("SELECT name, content FROM backup_files"):
        opening.replace_file(folder / name, content)


def _restore_store(source: Path, target: Path) -> None:
    """The store comes last: a directory in which this was interrupted holds none, and restoring can be done again."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    opening.copy_database(source, partial)
    with closing(sqlite3.connect(partial)) as copy:
        copy.execute("DROP TABLE backup_files")
        copy.commit()
    opening.sync(partial)
    partial.rename(target)
    opening.leave_note(target, "closed")
