"""What a disk would hold after a power cut, from a trace of the calls of a server (strace -f -xx).

Only what was written before the last sync of its file is taken to be on the disk: the hardest disk there can be.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Step(NamedTuple):
    """One call that ended: what was done to which file, or what was sent."""

    kind: str
    file: str
    content: bytes = b""
    at: int = 0


class Trace:
    """The calls on the database and its write-ahead file, and the answers that were sent."""

    def __init__(self, trace: Path, database: Path) -> None:
        self._names = {str(database): "db", f"{database}-wal": "wal"}
        self._open: dict[int, str] = {}
        self._threads: set[str] = set()
        self.steps: list[Step] = []
        pending: dict[str, str] = {}
        with trace.open() as lines:
            for line in lines:
                if resumed := _RESUMED.match(line):
                    begun = pending.pop(resumed[1], "")
                    self._take(resumed[1], resumed[2], begun + resumed[3])
                elif started := _LINE.match(line):
                    if line.rstrip().endswith("<unfinished ...>"):
                        begun = started[3].rpartition("<unfinished")[0]
                        pending[started[1]] = begun
                        if started[2] in ("write", "writev", "sendto", "sendmsg"):
                            self._take(started[1], started[2], f"{begun} = 1")  # sent, at the latest, from here on
                    else:
                        self._take(started[1], started[2], started[3])

    def is_synced_before_sent(self, experiment_id: str) -> bool:
        """Whether the commit that holds an experiment was synced before its 201 went out."""
        name = experiment_id.encode()
        written: int | None = None
        for number, step in enumerate(self.steps):
            if step.kind == "write" and step.file == "wal" and name in step.content:
                written = number if written is None else written
            if step.kind == "send" and b" 201" in step.content[:40] and name in step.content:
                between = self.steps[written:number] if written is not None else []
                return any(other.kind == "sync" and other.file == "wal" for other in between)
        return False

    def replay(self, directory: Path, acked: list[str]) -> int:
        """Cut the power at every sync: the files of that moment open and hold what was acked before the next one.

        Returns the number of cuts; fails at the first that loses something.
        """
        directory.mkdir()
        written: dict[str, bytearray] = {"db": bytearray(), "wal": bytearray()}
        synced: dict[str, bytes] = {"db": b"", "wal": b""}
        sent: set[str] = set()
        names = {experiment_id.encode(): experiment_id for experiment_id in acked}
        cuts = 0
        for step in self.steps:
            match step.kind:
                case "write":
                    _put(written[step.file], step.at, step.content)
                case "cut":
                    del written[step.file][step.at :]
                case "send":
                    if b" 201" in step.content[:40]:
                        sent |= {text for name, text in names.items() if name in step.content}
                case "sync":
                    _check(directory, synced, sent)
                    synced[step.file] = bytes(written[step.file])
                    cuts += 1
        _check(directory, synced, sent)
        return cuts

    def _take(self, thread: str, call: str, rest: str) -> None:
        outcome = rest.rpartition(" = ")[2].split()
        if not outcome or not outcome[0].lstrip("-").isdigit() or int(outcome[0]) < 0:
            return
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(rest)]
        descriptor = rest.partition(",")[0].partition(")")[0].strip()
        number = int(descriptor) if descriptor.isdigit() else -1
        match call:
            case "openat":
                name = self._names.get(texts[0].decode(errors="replace") if texts else "")
                if name is not None:
                    self._open[int(outcome[0])] = name
                    self._threads.add(thread)
            case "close" if thread in self._threads:  # other processes have descriptors of their own
                self._open.pop(number, None)
            case "pwrite64" if number in self._open:
                at = int(rest.rpartition(")")[0].rpartition(",")[2])
                self.steps.append(Step("write", self._open[number], texts[0], at))
            case "ftruncate" if number in self._open:
                at = int(rest.partition(",")[2].partition(")")[0])
                self.steps.append(Step("cut", self._open[number], at=at))
            case "fdatasync" | "fsync" if number in self._open:
                self.steps.append(Step("sync", self._open[number]))
            case "write" | "writev" | "sendto" | "sendmsg":
                content = b"".join(texts)
                if content.startswith(b"HTTP/1.1"):
                    self.steps.append(Step("send", "socket", content))


def _put(file: bytearray, at: int, content: bytes) -> None:
    if len(file) < at:
        file.extend(bytes(at - len(file)))
    file[at : at + len(content)] = content


def _check(directory: Path, synced: dict[str, bytes], sent: set[str]) -> None:
    if not sent:
        return
    path = directory / "cut.sqlite"
    for old in directory.iterdir():
        old.unlink()
    path.write_bytes(synced["db"])
    path.with_name("cut.sqlite-wal").write_bytes(synced["wal"])
    with closing(sqlite3.connect(path)) as connection:
        held = {row[0] for row in connection.execute("SELECT id FROM experiments")}
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert sent <= held, f"{len(sent - held)} acknowledged experiments are gone"
