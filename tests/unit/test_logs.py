"""One line for each record, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from kanad_server.logs import EACH, MAX_BYTES, JsonFormatter, Patience, PlainFormatter

HOSTILE = [
    "a\r\nb", "\x1b[2J\x1b]0;title\x07", "\x00", "x" * 1_000_000, "\x00" * 1_000_000, "\u2028line\u2029", "\ud800",
    "\U0001f600" * 100_000, '{"level":"error"}\n{"level":"fatal"}', "\x85\x9b31m", "%s %d {} %(name)s",
]  # fmt: skip


def record(text: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "x", "levelname": "INFO", "levelno": 20, "msg": "%s", "args": (text,)})
    vars(made).update(extra)
    return made


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_whatever_is_logged_is_one_line_of_json_and_not_long(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        failure = sys.exc_info()
    extras = {f"field_{number}": text for number in range(5)}
    for made in (record(text), record(text, **extras), record(text, exc_info=failure, **extras)):
        line = JsonFormatter().format(made)
        assert len(line.splitlines()) == 1
        assert len(line.encode()) <= MAX_BYTES
        assert line.isprintable() or not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in line)
        assert json.loads(line)["level"] == "info"


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_a_terminal_is_told_no_commands(text: str) -> None:
    line = PlainFormatter("%(levelname)s %(message)s").format(record(text))
    assert not [letter for letter in line if ord(letter) < 32 or 127 <= ord(letter) < 160]


def test_the_same_complaint_is_not_written_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("kanad_server.logs.time.monotonic", lambda: now)
    patience = Patience()
    assert [patience.filter(record("x")) for _ in range(EACH + 5)] == [True] * EACH + [False] * 5
    other = logging.makeLogRecord({"name": "y", "msg": "other"})
    assert patience.filter(other)
    now = 11.0
    last = record("x")
    assert patience.filter(last)
    assert vars(last)["kept_back"] == 5
