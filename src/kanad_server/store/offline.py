"""The store's file in the hands of a command, with or without a server on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kanad_server import datadir
from kanad_server.errors import StartRefused
from kanad_server.store.sqlite import SqliteStore, migrations, named_queries, read_text

BUSY_S = 5.0


@contextmanager
def transaction(data: Path) -> Iterator[tuple[sqlite3.Connection, dict[str, str]]]:
    """A transaction on the store's file, which is made or migrated when no server has it; and the statements.

    Raises:
        StartRefused: the data directory cannot be used, or a server of another version has it.
    """
    path = datadir.store_file(data)
    try:
        _prepare(data, path)
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection, connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != len(migrations()):
                raise StartRefused(
                    "store_other_version",
                    f"{path} has schema {version}, this program {len(migrations())}: stop the server of the other"
                    " version that uses it, then try again",
                )
            yield connection, named_queries(read_text("queries.sql"))
    except (OSError, sqlite3.Error) as error:
        raise StartRefused("data_dir_unusable", f"the store in {data} cannot be reached: {error}") from error


def _prepare(data: Path, path: Path) -> None:
    """Bring the file to this program's schema, unless a server has it, which has done so."""

    async def migrate() -> None:
        async with SqliteStore(path):
            pass

    try:
        with datadir.owned(data):
            asyncio.run(migrate())
    except StartRefused as refused:
        if refused.code != "data_dir_in_use":
            raise
