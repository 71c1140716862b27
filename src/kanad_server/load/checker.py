"""Whether a stream is what was promised: 1, 2, 3, ... to one terminal event, the same for every viewer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from kanad_server.wire import TERMINAL

Fault: TypeAlias = Literal[
    "gap", "duplicate", "reorder", "foreign", "changed", "after_end", "missing_end", "energy", "lost"
]


class Seen(msgspec.Struct, frozen=True):
    """Of an event, what the check needs."""

    type: str
    experiment_id: str
    seq: int
    time: str
    attempt: int = 1
    status: str | None = None
    energy_hartree: float | None = None

    @property
    def is_end(self) -> bool:
        """Whether it is a terminal status."""
        return self.type == "status" and self.status in TERMINAL


class Violation(msgspec.Struct, frozen=True):
    """A promise that was broken."""

    fault: Fault
    experiment_id: str
    seq: int
    message: str

    def __str__(self) -> str:
        return f"{self.fault}: experiment {self.experiment_id}: {self.message}"


class Story:
    """What all viewers of one experiment must be told: each number means the same event for all of them."""

    def __init__(self, experiment_id: str) -> None:
        self.experiment_id = experiment_id
        self.told: dict[int, Seen] = {}
        self.end: Seen | None = None
        self.ended_at: float | None = None
        """When the first viewer had the end, by `time.perf_counter`."""

    def tell(self, event: Seen) -> bool:
        """Whether `event` is the one that others were told under its number."""
        known = self.told.setdefault(event.seq, event)
        if event.is_end:
            self.end = event
        return known is event or known == event

    def compare_energy(self, result: float) -> Iterator[Violation]:
        """The terminal event's energy is the result's."""
        if self.end is not None and self.end.energy_hartree != result:
            yield Violation(
                "energy",
                self.experiment_id,
                self.end.seq,
                f"event {self.end.seq} says {self.end.energy_hartree} Eh, the result says {result} Eh",
            )


class StreamCheck:
    """One viewer's stream over all its lines."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._missing: set[int] = set()
        self.last_seq = 0
        self.ended = False

    def feed(self, events: Iterable[Seen]) -> list[Violation]:
        """Take the events as they came; what is wrong with them is returned."""
        found: list[Violation] = []
        for event in events:
            if event.experiment_id != self._story.experiment_id:
                found.append(self._violation("foreign", event.seq, f"event of experiment {event.experiment_id}"))
                continue
            if event.seq == self.last_seq + 1 and not self.ended:
                self.last_seq = event.seq
            else:
                found.append(self._misplaced(event))
            if event.is_end:
                self.ended = True
            if not self._story.tell(event):
                known = self._story.told[event.seq]
                found.append(self._violation("changed", event.seq, f"event {event.seq} was {known}, now {event}"))
        return found

    def finish(self, why: str) -> list[Violation]:
        """Nothing more will come, and `why`; what is wrong with that is returned."""
        if self.ended:
            return []
        self.ended = True
        return [self._violation("missing_end", self.last_seq, f"no terminal event, {self.last_seq} is the last; {why}")]

    def _misplaced(self, event: Seen) -> Violation:
        seq, last = event.seq, self.last_seq
        if seq in self._missing:
            self._missing.discard(seq)
            return self._violation("reorder", seq, f"event {seq} came behind {last}")
        if seq <= last:
            return self._violation("duplicate", seq, f"event {seq} came again, behind {last}")
        self.last_seq = seq
        if self.ended:
            return self._violation("after_end", seq, f"event {seq} came behind the terminal event {last}")
        self._missing.update(range(last + 1, min(seq, last + 10_000)))
        return self._violation("gap", seq, f"event {seq} came behind {last}; missing {last + 1} to {seq - 1}")

    def _violation(self, fault: Fault, seq: int, message: str) -> Violation:
        return Violation(fault, self._story.experiment_id, seq, message)
