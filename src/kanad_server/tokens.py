"""Making, listing and revoking tokens, on the data directory itself: no server is needed, and a running one notices.

A token is ``kanad_<id>_<secret>``: a public id to find it by, and 256 random bits. Only the SHA-256 of the whole is
kept. A slow hash protects secrets that can be guessed; nobody guesses 256 bits, and every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from kanad_server import clock
from kanad_server.errors import KanadError
from kanad_server.people import RANK, Role
from kanad_server.store.offline import BUSY_S, transaction
from kanad_server.store.sqlite import named_queries, read_text
from kanad_server.store.tokens import TokenRow, token_of

FORM = re.compile(r"kanad_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
MAX_DAYS = 3_650


def id_of(token: str) -> str | None:
    """The public part of a token; None where it has not the form of one."""
    match = FORM.fullmatch(token)
    return None if match is None else match[1]


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def fits(token: str, row: TokenRow) -> bool:
    """Whether `token` is the one that `row` was made from; takes the same time for every wrong one."""
    return hmac.compare_digest(hash_of(token), row.hash)


def check_name(name: str) -> None:
    """Raises `KanadError` unless this can be a person's name."""
    if not NAME.fullmatch(name):
        raise KanadError(
            "invalid_name", f"a name has 1 to 64 letters, digits, '.', '_', '@', '-', a letter first; got {name[:80]!r}"
        )


def create(data: Path, *, name: str, role: str, expires_days: int | None = None) -> tuple[str, TokenRow]:
    """A new token, and what is kept of it. The token itself is not kept: whoever loses it makes another.

    Raises:
        KanadError: the name, the role or the number of days breaks a rule.
        StartRefused: the data directory cannot be used.
    """
    check_name(name)
    try:
        known_role = msgspec.convert(role, Role)
    except msgspec.ValidationError:
        raise KanadError("invalid_role", f"a role is one of {', '.join(RANK)}; got {role[:80]!r}") from None
    if expires_days is not None and not 1 <= expires_days <= MAX_DAYS:
        raise KanadError("invalid_expiry", f"--expires-days must be from 1 to {MAX_DAYS}, got {expires_days}")
    token_id = secrets.token_hex(6)
    token = f"kanad_{token_id}_{secrets.token_urlsafe(32)}"
    row = TokenRow(
        id=token_id,
        name=name,
        role=known_role,
        hash=hash_of(token),
        created_at=clock.now(),
        expires_at=None if expires_days is None else _in_days(expires_days),
    )
    with transaction(data) as (connection, sql):
        connection.execute(
            sql["insert_token"],
            msgspec.structs.asdict(row),
        )
    return token, row


def listed(data: Path) -> list[TokenRow]:
    """Every token that is kept, revoked and expired ones too, the oldest first."""
    if not (data / "kanad.sqlite").exists():
        return []
    with transaction(data) as (connection, sql):
        return [token_of(row) for row in connection.execute(sql["all_tokens"])]


def revoke(data: Path, token_id: str) -> None:
    """Let nobody in by this token any more; a running server notices within a second.

    Raises:
        KanadError: there is no such token that is good.
    """
    with transaction(data) as (connection, sql):
        done = connection.execute(sql["revoke_token"], {"id": token_id, "now": clock.now()})
        if done.rowcount == 0:
            raise KanadError("no_such_token", f"no token {token_id[:80]!r} is there to be revoked; see kanad token ls")


def forget(data: Path) -> int:
    """Drop revoked and expired tokens; returns how many. Without any token left, a loopback server is open again."""
    with transaction(data) as (connection, sql):
        return connection.execute(sql["forget_bad_tokens"], {"now": clock.now()}).rowcount


def are_good(data: Path) -> bool:
    """Whether anybody can come in by a token now; changes nothing."""
    if not (data / "kanad.sqlite").exists():
        return False
    with closing(sqlite3.connect(data / "kanad.sqlite", timeout=BUSY_S)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute(named_queries(read_text("queries.sql"))["all_tokens"]).fetchall()
        except sqlite3.Error:
            return False  # a store from before there were tokens, or one that the start will refuse
    return any(token_of(row).is_good(clock.now()) for row in rows)


def _in_days(days: int) -> str:
    when = datetime.now(UTC) + timedelta(days=days)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
