"""What must hold after every scenario."""

from __future__ import annotations

import sqlite3
from typing import Any

from tests.support.server import ENDED, Server, wait_for


def check_log(events: list[dict[str, Any]]) -> None:
    """Numbers run 1..N without a gap, attempts never fall, and every end but the last gives way to a new attempt."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    attempts = [event["attempt"] for event in events]
    assert attempts == sorted(attempts)
    assert events[0]["type"] == "status"
    assert events[0]["status"] == "queued"
    ends = [i for i, event in enumerate(events) if event.get("status") in ENDED]
    assert all(events[i + 1]["status"] == "queued" for i in ends if i + 1 < len(events))


def check_store(server: Server) -> None:
    """The database is whole, and no experiment that completed lacks its one result."""
    with sqlite3.connect(server.data / "kanad.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        completed = connection.execute("SELECT count(*) FROM experiments WHERE status = 'completed'").fetchone()
        assert connection.execute("SELECT count(*) FROM results").fetchone() == completed


def check_gone(server: Server) -> None:
    """Nothing of the server's session lives five seconds after its end."""
    wait_for(lambda: not server.session_processes(), "every process of the server to end", 5.0)
