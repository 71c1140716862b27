"""Logs on standard error: plain lines in a terminal, one JSON object a line everywhere else."""

from __future__ import annotations

import logging
import sys

import msgspec

from kanad_server import clock

MAX_CHARACTERS = 6_000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, with its extra fields; control characters are escaped by JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, object] = {
            "time": clock.now(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_CHARACTERS],
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields[name] = str(value)[:MAX_CHARACTERS]
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)[-MAX_CHARACTERS:]
        return msgspec.json.encode(fields).decode()


def set_up(level: str) -> None:
    """Send every log record to standard error."""
    handler = logging.StreamHandler()
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    else:
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
