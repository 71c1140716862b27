"""The table of tokens: written offline by ``kanad token``, read by the server."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from kanad_server.people import Role


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """One token as it is kept: a hash, never the token."""

    id: str
    name: str
    role: Role
    hash: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def is_good(self, now: str) -> bool:
        """Whether it lets anybody in at `now` (RFC 3339, UTC)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def token_of(row: sqlite3.Row | Mapping[str, Any]) -> TokenRow:
    """The token of a row of the table."""
    return msgspec.convert(dict(row), TokenRow)
