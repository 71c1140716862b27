"""Logs on standard error: plain lines in a terminal, one JSON object a line everywhere else.

What people send may stand in a log, so: one line for each record whatever is in it, at most `MAX_BYTES` long, control
characters escaped, and the same complaint not more than `EACH` times in `EACH_S` seconds.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import OrderedDict

import msgspec

from kanad_server import clock

MAX_BYTES = 8_000
MAX_CHARACTERS = 1_500
MAX_TRACEBACK = 4_000
EACH = 20
EACH_S = 10.0
COMPLAINTS = 500
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, with its extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields = {
            "time": clock.now(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _text(record.getMessage()[:MAX_CHARACTERS]),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields[name] = _text(str(value)[:MAX_CHARACTERS])
        if record.exc_info:
            fields["exception"] = _text(self.formatException(record.exc_info)[-MAX_TRACEBACK:])
        line = _line(fields)
        if len(line.encode()) > MAX_BYTES:
            line = _line({name: value[-500:] for name, value in fields.items()} | {"shortened": "true"})
        return line if len(line.encode()) <= MAX_BYTES else _line(_least(fields))


class PlainFormatter(logging.Formatter):
    """One line for each record, and its traceback; nothing in it speaks to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, its lines made safe one by one."""
        return "\n".join(_escaped(line) for line in super().format(record)[:MAX_BYTES].split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """The first line, whatever is in it."""
        return _escaped(super().formatMessage(record))


class Patience(logging.Filter):
    """Lets the same complaint through `EACH` times in `EACH_S` seconds, then says how many it has kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, int, str], list[float]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        key = (record.name, record.levelno, str(record.msg)[:200])
        now = time.monotonic()
        since, count = self._seen.setdefault(key, [now, 0.0])
        if now - since > EACH_S:
            if count > EACH:
                record.kept_back = int(count - EACH)
            since, count = now, 0.0
        self._seen[key] = [since, count + 1]
        self._seen.move_to_end(key)
        if len(self._seen) > COMPLAINTS:
            self._seen.popitem(last=False)
        return count < EACH


def set_up(level: str) -> None:
    """Send every log record to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(Patience())
    if sys.stderr.isatty():
        handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    else:
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _text(text: str) -> str:
    """`text` without what UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _line(fields: dict[str, str]) -> str:
    """JSON on one line, for readers too that split at what JSON leaves as it is."""
    text = msgspec.json.encode(fields).decode()
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _least(fields: dict[str, str]) -> dict[str, str]:
    return {name: fields[name][:200] for name in ("time", "level", "logger", "message")} | {"shortened": "true"}


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
