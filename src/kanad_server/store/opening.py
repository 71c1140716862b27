"""Before the store opens its file: is it there, whole, ours, and of a schema we know? Nothing is changed to find out.

Beside the database lies a note of how it was left. It tells an empty directory, in which a database may be made, from
one whose database has gone, over which nothing may be made; and an orderly end from a sudden one.

    kanad.sqlite          the database
    kanad.sqlite-wal      commits that are not yet in it
    kanad.sqlite.note     `open` while a server has it, `closed` afterwards
    kanad.sqlite.schema-1 a copy from before the step from schema 1 to the next
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from kanad_server.errors import StartRefused

log = logging.getLogger(__name__)

MAGIC = b"SQLite format 3\x00"
CHECK_S = 1.0
"""How long a start may take over the check; what is left of it is done while the server runs."""
_OPCODES = 20_000
"""SQLite asks so often whether to go on: some ten thousand times a second."""
COPY_PAGES = 2_000
RESTORE = "It is left as it is; put a copy of the data directory in its place, or choose another --data-dir"


class Found(NamedTuple):
    """What lies in the data directory: its schema (0: nothing yet), and whether the check came to its end."""

    schema: int
    is_checked: bool


def examine(path: Path, newest: int, check_s: float = CHECK_S) -> Found:
    """Look at the database without changing a byte of it.

    Raises:
        StartRefused: it is missing or empty where it should be (`store_missing`), no database, damaged or not readable
            (`store_unreadable`), another program's (`store_foreign`), or of a schema above `newest` (`store_newer`).
    """
    is_used = _note(path).exists() or _size(_wal(path)) > 0
    if _size(path) == 0:
        if is_used:
            state = "is empty" if path.exists() else "is missing"
            raise StartRefused("store_missing", f"{path} {state}, but this data directory has been used. {RESTORE}")
        return Found(0, is_checked=True)
    _warn_of_lost_commits(path)
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise _unreadable(path, "it does not begin as a SQLite file does")
        with closing(read_only(path)) as connection:
            schema = _schema(connection, path, newest, is_used=is_used)
            return Found(schema, is_whole(connection, path, check_s))
    except (sqlite3.Error, OSError) as error:
        raise _unreadable(path, str(error)) from error


def is_whole(connection: sqlite3.Connection, path: Path, within_s: float | None) -> bool:
    """Whether every page was found sound; False where `within_s` was too short to see them all.

    Raises:
        StartRefused: `store_unreadable`, with the first thing that is wrong.
    """
    deadline = None if within_s is None else time.monotonic() + within_s
    connection.set_progress_handler(lambda: deadline is not None and time.monotonic() > deadline, _OPCODES)
    try:
        wrong = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        if "interrupt" in str(error):
            return False
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if wrong != ["ok"]:
        raise _unreadable(path, f"it is damaged ({' '.join(wrong[0].split())})")
    return True


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the database; it reads the write-ahead file too."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0, check_same_thread=False)


def leave_note(path: Path, word: str) -> None:
    """Write down how the database is left; a full disk does not keep the server from ending."""
    with suppress(OSError):
        replace_file(_note(path), word.encode())


def copy_before(path: Path, schema: int) -> Path:
    """Copy the database aside before it leaves `schema`; a copy that is there already stays.

    Raises:
        StartRefused: `no_room`: there is no room for the copy; nothing was changed.
    """
    target = path.with_name(f"{path.name}.schema-{schema}")
    if target.exists():
        return target
    try:
        copy_database(path, target)
    except (sqlite3.Error, OSError) as error:
        raise StartRefused(
            "no_room", f"before the upgrade {path} is copied to {target.name}, which failed: {error}; make room"
        ) from error
    log.info("copied the database before its upgrade", extra={"copy": target.name})
    return target


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy, also of a database in use; `target` appears whole and on the disk, or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(read_only(source)) as origin, closing(sqlite3.connect(partial)) as copy:
            origin.backup(copy, pages=COPY_PAGES, sleep=0.0)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a small file so that a power cut leaves the old or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    sync(partial)
    partial.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names of a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _schema(connection: sqlite3.Connection, path: Path, newest: int, *, is_used: bool) -> int:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if schema > newest:
        raise StartRefused(
            "store_newer",
            f"{path} has schema {schema}, this program knows up to {newest}:"
            " it was written by a newer version; install that one",
        )
    if (schema == 0) != (not tables) or (schema > 0 and "experiments" not in tables):
        raise StartRefused("store_foreign", f"{path} is the database of another program. {RESTORE}")
    if schema == 0 and is_used:
        raise StartRefused("store_missing", f"{path} holds nothing, but this data directory has been used. {RESTORE}")
    return int(schema)


def _warn_of_lost_commits(path: Path) -> None:
    note = _note(path)
    if note.exists() and note.read_text() == "open" and not _wal(path).exists():
        log.warning(
            "the server did not end by itself, and its write-ahead file is gone:"
            " unless another program opened the database since, the last commits are missing",
            extra={"file": _wal(path).name},
        )


def _unreadable(path: Path, why: str) -> StartRefused:
    return StartRefused("store_unreadable", f"{path} cannot be used as a database: {why}. {RESTORE}")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.note")


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
