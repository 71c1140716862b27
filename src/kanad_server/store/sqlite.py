"""The embedded store: one SQLite file in WAL mode, one writing connection and one for reading."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite
import msgspec

from kanad_server import clock
from kanad_server.errors import StartRefused, Unavailable
from kanad_server.store import opening, thinning
from kanad_server.store.base import EVENT_BYTES, Answer, Campaign, Commit, Filter, Notification
from kanad_server.store.listing import decode_cursor, encode_cursor, read_page
from kanad_server.store.rows import (
    campaign_of,
    campaign_row,
    from_row,
    member_of,
    notification_of,
    to_changed_columns,
    to_row,
)
from kanad_server.store.tokens import TokenRow, token_of
from kanad_server.wire import Experiment, Member

T = TypeVar("T")
U = TypeVar("U")

CAMPAIGNS = "campaigns"
"""The order for which cursors of campaigns are made."""
MAX_NUMBER = 2**63 - 1
BUSY_TIMEOUT_MS = 3_500
"""How long a statement waits for an outside process that holds the database: a little under what a client waits."""
WAL_BYTES = 8 * 1024 * 1024
"""A write-ahead file above this is emptied into the database as soon as no reader needs it."""


def read_text(name: str) -> str:
    """A file of this room."""
    return resources.files("kanad_server.store").joinpath(name).read_text()


def named_queries(text: str) -> dict[str, str]:
    """The statements of a file in which each begins with ``-- name: <name>``."""
    blocks = text.split("-- name: ")[1:]
    return {name.strip(): body for name, _, body in (block.partition("\n") for block in blocks)}


def migrations() -> list[str]:
    """Every migration in order; the first one makes schema 1."""
    folder = resources.files("kanad_server.store").joinpath("migrations")
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [read_text(f"migrations/{name}") for name in files]


class SqliteStore:
    """A `Store` over one file. Enter it to open and migrate; leaving it closes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = named_queries(read_text("queries.sql"))
        self._synchronous_full = True
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        newest = len(migrations())
        found = await asyncio.to_thread(opening.examine, self._path, newest)
        self.is_checked = found.is_checked
        if 0 < found.schema < newest:
            await asyncio.to_thread(opening.copy_before, self._path, found.schema)
        try:
            self._writer = await self._connect()
            try:
                await self._migrate()
                self._reader = await self._connect()
            except BaseException:
                await self._writer.close()
                raise
        except sqlite3.DatabaseError as error:
            raise _refusal(self._path, error) from error
        await asyncio.to_thread(opening.leave_note, self._path, "open")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The note first: a kill between the two leaves a write-ahead file behind, which is what `open` would ask for.
        await asyncio.to_thread(opening.leave_note, self._path, "closed")
        await self._reader.close()
        await self._writer.close()

    async def finish_check(self) -> None:
        """Look at the rest of a database that was too large to be checked at the start.

        Raises:
            StartRefused: it is damaged.
        """

        def check() -> None:
            with closing(opening.read_only(self._path)) as connection:
                opening.is_whole(connection, self._path, None)

        await asyncio.to_thread(check)
        self.is_checked = True

    async def tidy(self) -> None:
        """Empty a large write-ahead file, unless a reader still needs it; waits for nobody."""
        wal = self._path.with_name(f"{self._path.name}-wal")
        if not wal.exists() or wal.stat().st_size <= WAL_BYTES:
            return
        async with self._writing:
            with suppress(sqlite3.Error):  # a full disk, a lock: it is tried again
                await self._writer.execute("PRAGMA busy_timeout = 0")
                await self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            await self._writer.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    async def thin(self, ended_before: str, limit: int) -> int:
        """Make the logs of at most `limit` experiments short that ended before then; returns how many it looked at."""
        rows = await self._select(self._sql["experiments_to_thin"], (ended_before, limit))
        for (experiment_id,) in rows:  # one at a time: what waits to be committed gets its turn in between
            await self._write(self._thin, experiment_id, durable=False)
        return len(rows)

    async def commit(self, commit: Commit) -> None:
        """All of `commit` in one transaction, or nothing.

        Raises:
            Unavailable: the disk is full, or another process holds the database.
        """
        await self._write(self._apply, commit, durable=commit.durable)

    async def get(self, experiment_id: str) -> Experiment | None:
        """The experiment as its last status change left it."""
        rows = await self._select(self._sql["get_experiment"], (experiment_id,))
        return from_row(rows[0]) if rows else None

    async def active(self) -> list[Experiment]:
        """Every queued or running experiment, in the order of acceptance."""
        return [from_row(row) for row in await self._select(self._sql["active_experiments"])]

    async def page(self, wanted: Filter) -> tuple[list[Experiment], str | None]:
        """One page, and the cursor of the next one."""
        rows, cursor = await self._read(read_page, wanted)
        return [from_row(row) for row in rows], cursor

    async def events(
        self, experiment_id: str, after: int, limit: int, max_bytes: int = EVENT_BYTES
    ) -> list[tuple[int, str]]:
        """(seq, body) of at most `limit` events behind `after`, in order, and of no more than `max_bytes` of text.

        One event at least, if there is one, however long it is.
        """

        def stretch(connection: sqlite3.Connection, wanted: tuple[str, int, int]) -> list[tuple[int, str]]:
            rows: list[tuple[int, str]] = []
            size = 0
            with closing(connection.execute(self._sql["events_after"], wanted)) as cursor:
                for seq, body in cursor:
                    size += len(body)
                    if size > max_bytes and rows:
                        break
                    rows.append((seq, body))
            return rows

        return await self._read(stretch, (experiment_id, after, limit))

    async def result(self, experiment_id: str) -> str | None:
        """The result as JSON text."""
        rows = await self._select(self._sql["get_result"], (experiment_id,))
        return rows[0][0] if rows else None

    async def key(self, owner: str, key: str) -> tuple[str, list[str]] | None:
        """Body hash and experiment ids of an idempotency key of `owner`."""
        rows = await self._select(self._sql["get_key"], (owner, key))
        return (rows[0][0], [row[1] for row in rows]) if rows else None

    async def reusable(self, owner: str, hashes: Sequence[str], made_with: str) -> dict[str, Answer]:
        """By spec hash: the newest converged result of `owner` that was made with these versions."""

        def find(connection: sqlite3.Connection, hashes: Sequence[str]) -> dict[str, Answer]:
            found = {}
            for spec_hash in hashes:
                row = connection.execute(self._sql["find_reusable"], (owner, spec_hash, made_with)).fetchone()
                if row is not None:
                    found[spec_hash] = Answer(experiment_id=row[0], energy_hartree=row[1], result=row[2].encode())
            return found

        return await self._read(find, hashes) if hashes else {}

    async def token(self, token_id: str) -> TokenRow | None:
        """What is kept of a token."""
        rows = await self._select(self._sql["get_token"], (token_id,))
        return token_of(rows[0]) if rows else None

    async def any_token(self) -> bool:
        """Whether a token was ever made, good or not."""
        return bool((await self._select(self._sql["any_token"]))[0][0])

    async def delete(self, experiment_id: str) -> None:
        """Forget an experiment with its events and result."""
        await self._write(self._forget, experiment_id, durable=True)

    async def campaign(self, campaign_id: str) -> Campaign | None:
        """A campaign as it was posted."""
        rows = await self._select(self._sql["get_campaign"], (campaign_id,))
        return campaign_of(rows[0]) if rows else None

    async def campaigns(self, owner: str | None, limit: int, cursor: str | None) -> tuple[list[Campaign], str | None]:
        """One page of campaigns, the newest first, and the cursor of the next one."""
        before = MAX_NUMBER if cursor is None else decode_cursor(cursor, CAMPAIGNS)[1]
        wanted = {"owner": owner, "before": before, "limit": limit + 1}
        rows = await self._select(self._sql["page_of_campaigns"], wanted)
        page = rows[:limit]
        more = len(rows) > limit
        return [campaign_of(row) for row in page], encode_cursor(CAMPAIGNS, 0, page[-1]["number"]) if more else None

    async def member_counts(self, campaign_ids: Sequence[str]) -> list[dict[str, int]]:
        """For each campaign: how many of its experiments are in each status."""

        def count(connection: sqlite3.Connection, ids: Sequence[str]) -> list[dict[str, int]]:
            return [
                {row[0]: row[1] for row in connection.execute(self._sql["count_members"], (campaign_id,))}
                for campaign_id in ids
            ]

        return await self._read(count, campaign_ids)

    async def members(self, campaign_id: str) -> list[Member]:
        """The table of a campaign, in the order in which it was posted."""

        def table(connection: sqlite3.Connection, wanted: str) -> list[Member]:
            rows = connection.execute(self._sql["table_of_members"], (wanted,)).fetchall()
            return [member_of(row, index) for index, row in enumerate(rows)]

        return await self._read(table, campaign_id)

    async def member_ids(self, campaign_id: str, *, active: bool = False) -> list[str]:
        """The experiments of a campaign, or those that have not ended."""
        name = "active_members" if active else "all_members"
        return [row[0] for row in await self._select(self._sql[name], (campaign_id,))]

    async def delete_campaign(self, campaign_id: str) -> None:
        """Forget a campaign with its experiments."""
        await self._write(self._forget_campaign, campaign_id, durable=True)

    async def due_notifications(self, origin: str, now_s: float, limit: int) -> tuple[list[Notification], float | None]:
        """What is due for an origin, the longest due first, and when the next of the others will be."""
        rows = await self._select(self._sql["next_notifications"], (origin, limit + 1))
        due = [notification_of(row) for row in rows[:limit] if row["due_at"] <= now_s]
        return due, rows[len(due)]["due_at"] if len(rows) > len(due) else None

    async def forget_notification(self, notification_id: str) -> None:
        """It has arrived, or will never."""
        await self._write(self._change_notification, ("forget_notification", (notification_id,)), durable=False)

    async def postpone_notification(self, notification_id: str, tries: int, due_at: float) -> None:
        """It is to be tried again later."""
        change = ("postpone_notification", (tries, due_at, notification_id))
        await self._write(self._change_notification, change, durable=False)

    async def waiting_notifications(self) -> int:
        """How many have not arrived yet."""
        return int((await self._select(self._sql["count_notifications"]))[0][0])

    async def counts(self) -> dict[str, int]:
        """How many experiments there are in each status."""
        return {row[0]: row[1] for row in await self._select(self._sql["count_by_status"])}

    async def _connect(self) -> aiosqlite.Connection:
        # IMMEDIATE: the write lock is taken at the first change, so that a commit never fails half-way for it.
        connection = await aiosqlite.connect(self._path, isolation_level="IMMEDIATE")
        try:
            connection.row_factory = sqlite3.Row
            await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA foreign_keys = ON")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        except BaseException:
            await connection.close()  # its thread would keep the process from ending
            raise
        return connection

    async def _migrate(self) -> None:
        steps = migrations()
        (version,) = await self._first(self._writer, "PRAGMA user_version")
        for number, step in enumerate(steps[version:], version + 1):
            await self._writer.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;")

    async def _write(self, change: Callable[[sqlite3.Connection, T], None], what: T, *, durable: bool) -> None:
        """`change(connection, what)` as one transaction, in one hop to the writing connection's thread.

        A hop for each statement costs the loop several times as much, and aiosqlite has no public call for a function.
        """

        def transaction() -> None:
            connection = self._writer._conn
            try:
                self._set_synchronous(connection, durable)
                change(connection, what)
                connection.commit()
            except sqlite3.Error:
                with suppress(sqlite3.Error):  # disk full: SQLite has rolled back by itself
                    connection.rollback()
                raise

        async with self._writing:
            try:
                await self._writer._execute(transaction)  # type: ignore[no-untyped-call]  # aiosqlite does not type it
            except sqlite3.Error as error:
                raise Unavailable("store_unavailable", f"the store cannot write now: {error}") from error

    def _apply(self, connection: sqlite3.Connection, commit: Commit) -> None:
        results = ((key, body.decode()) for key, body in commit.results)
        for name, rows in (
            ("insert_campaign", map(campaign_row, commit.campaigns)),
            ("insert_experiment", map(to_row, commit.inserts)),
            ("update_experiment", map(to_changed_columns, commit.updates)),
            ("insert_event", commit.events),
            ("insert_result", results),
            ("mark_reusable", commit.reusable),
            ("insert_key", commit.keys),
            ("insert_notification", map(msgspec.structs.asdict, commit.notifications)),
        ):
            connection.executemany(self._sql[name], rows)

    def _thin(self, connection: sqlite3.Connection, experiment_id: str) -> None:
        now = clock.now()
        rows = connection.execute(self._sql["events_after"], (experiment_id, 0, -1)).fetchall()
        for first, last, marker in thinning.shortened(rows, now):
            connection.execute(self._sql["delete_events"], (experiment_id, first, last))
            connection.execute(self._sql["insert_event"], (experiment_id, last, marker))
        connection.execute(self._sql["mark_thinned"], (now, experiment_id))

    def _change_notification(self, connection: sqlite3.Connection, change: tuple[str, tuple[Any, ...]]) -> None:
        name, parameters = change
        connection.execute(self._sql[name], parameters)

    def _forget(self, connection: sqlite3.Connection, experiment_id: str) -> None:
        connection.execute(self._sql["delete_experiment"], (experiment_id,))

    def _forget_campaign(self, connection: sqlite3.Connection, campaign_id: str) -> None:
        connection.execute(self._sql["delete_campaign"], (campaign_id,))

    def _set_synchronous(self, connection: sqlite3.Connection, full: bool) -> None:
        if full != self._synchronous_full:
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._synchronous_full = full

    async def _read(self, question: Callable[[sqlite3.Connection, T], U], what: T) -> U:
        """`question(connection, what)`, in one hop to the reading connection's thread."""
        try:
            return await self._reader._execute(question, self._reader._conn, what)  # type: ignore[no-untyped-call,no-any-return]  # aiosqlite does not type it
        except sqlite3.Error as error:
            raise Unavailable("store_unavailable", f"the store cannot read now: {error}") from error

    async def _select(self, statement: str, parameters: Any = ()) -> list[sqlite3.Row]:
        try:
            return list(await self._reader.execute_fetchall(statement, parameters))
        except sqlite3.Error as error:
            raise Unavailable("store_unavailable", f"the store cannot read now: {error}") from error

    @staticmethod
    async def _first(connection: aiosqlite.Connection, statement: str) -> Any:
        rows = list(await connection.execute_fetchall(statement))
        return tuple(rows[0])


def _refusal(path: Path, error: sqlite3.DatabaseError) -> StartRefused:
    """Why the file cannot be used, in words that say what to do."""
    match getattr(error, "sqlite_errorcode", None):
        case sqlite3.SQLITE_BUSY:
            return StartRefused("store_locked", f"another program holds {path}; close it, then start again")
        case sqlite3.SQLITE_FULL:
            return StartRefused("no_room", f"there is no room on the disk of {path}; make room, then start again")
        case _:
            return StartRefused("store_unreadable", f"{path} cannot be used as a database: {error}. {opening.RESTORE}")
