"""Times and identifiers as they stand on the wire."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta


def now() -> str:
    """The present moment, RFC 3339 in UTC with milliseconds."""
    return _written(datetime.now(UTC))


def days_ago(days: int) -> str:
    """The moment so many days before this one."""
    return _written(datetime.now(UTC) - timedelta(days=days))


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(start: str | None, end: str | None) -> float | None:
    """From one such moment to another; None where one of them is missing."""
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)


_last = 0


def new_id() -> str:
    """A UUID version 7 (RFC 9562): sorts by time, and 74 random bits keep it from being guessed.

    Within one process each sorts behind the one before, in the same millisecond too.
    """
    global _last
    value = (time.time_ns() // 1_000_000) << 74 | secrets.randbits(74)
    if value <= _last:
        value = _last + 1 + secrets.randbits(40)
    _last = value
    text = f"{value >> 74:012x}7{value >> 62 & 0xFFF:03x}{0b10 << 62 | value & (2**62 - 1):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
