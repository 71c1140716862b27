"""A viewer that checks what it is shown, and comes back with ``after`` whenever its line is gone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from kanad_server.load.checker import Seen, Story, StreamCheck
from kanad_server.load.line import LOST, Refused
from kanad_server.load.poster import Address
from kanad_server.load.tally import Tally
from kanad_server.load.ways import DONE, OVER, Open, Way, open_way

RESTARTING = 1012
HOPELESS = (4400, 4401, 4403, 4404)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0

_REMEMBERED = 256
_from_json: Callable[[bytes], Seen | list[Seen]] = msgspec.json.Decoder(Seen | list[Seen]).decode
_from_msgpack: Callable[[bytes], Seen | list[Seen]] = msgspec.msgpack.Decoder(Seen | list[Seen]).decode


class Frame(msgspec.Struct, frozen=True):
    """A frame, decoded once for all viewers that get it."""

    events: list[Seen]
    times: list[float]


class Frames:
    """Decodes frames; viewers at the same place get the same bytes, which are decoded once."""

    def __init__(self, way: Way = "json") -> None:
        self._decode = _from_msgpack if way == "msgpack" else _from_json
        self._known: dict[bytes, Frame] = {}

    def read(self, payload: bytes) -> Frame:
        """The events of a frame.

        Raises:
            msgspec.MsgspecError: it holds none.
        """
        frame = self._known.get(payload)
        if frame is None:
            decoded = self._decode(payload)
            events = decoded if isinstance(decoded, list) else [decoded]
            frame = Frame(events, [epoch(event.time) for event in events])
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[payload] = frame
        return frame


class Viewer:
    """Follows one experiment to its end over as many lines as it takes."""

    def __init__(self, address: Address, way: Way, story: Story, frames: Frames, tally: Tally) -> None:
        self._address = address
        self._way = way
        self._story = story
        self._frames = frames
        self._tally = tally
        self._line: Open | None = None
        self._due = 0.0
        self._live_from = 0.0
        self._cut_at: float | None = None
        self._waits_for_missed = False
        self.check = StreamCheck(story)

    async def follow(self, due: float) -> None:
        """Watch until the server says that everything was sent. `due`: when it was to connect, by `perf_counter`."""
        failures = 0
        while True:
            code = await self._once(due)
            if code in HOPELESS:
                self._tally.error(f"ws_{code}")
            if code == DONE:
                self._tally.fault(self.check.finish("the server closed the stream as done"))
            if self.check.ended or code in HOPELESS:
                return
            if self._cut_at is not None:
                due, failures = self._cut_at, 0
            else:
                if code not in (LOST, RESTARTING):
                    self._tally.error(f"ws_{code}")
                failures += 1
                await asyncio.sleep(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
                due = time.perf_counter()
            self._tally.counts["reconnects"] += 1

    def cut(self, draw: random.Random) -> bool:
        """Break the line, or leave politely; says whether there was one."""
        line = self._line
        if line is None or self.check.ended or self._cut_at is not None:
            return False
        self._cut_at = time.perf_counter()
        if draw.random() < 0.5:
            line.cut()
        else:
            line.leave()
        return True

    async def _once(self, due: float) -> int:
        """One line from its handshake to its close code; `LOST` where there was none."""
        tally = self._tally
        self._due = due
        self._live_from = float("inf")
        self._waits_for_missed = self.check.last_seq > 0
        try:
            line = await open_way(
                self._way, self._address, self._story.experiment_id, self.check.last_seq, self._message
            )
        except Refused as error:
            if error.status in (429, 503):
                tally.refusal(f"handshake_{error.status}")
            else:
                tally.error(f"handshake_{error.status}")
            return LOST
        except (OSError, TimeoutError) as error:
            tally.error(f"connect_{type(error).__name__}")
            return LOST
        self._cut_at = None
        self._live_from = time.time()
        tally.counts["connects"] += 1
        tally.record("connect", time.perf_counter() - due)
        self._line = line
        try:
            code = await line.closed
            return code if code != OVER else DONE if self.check.ended else RESTARTING
        finally:
            self._line = None
            line.cut()

    def _message(self, payload: bytes) -> None:
        now = time.time()
        tally = self._tally
        try:
            frame = self._frames.read(payload)
        except msgspec.MsgspecError:
            tally.error("unreadable_frame")
            return
        counts = tally.counts
        counts["frames"] += 1
        counts["events"] += len(frame.events)
        found = self.check.feed(frame.events)
        if found:
            tally.fault(found)
        if self._story.end is not None and self._story.ended_at is None:
            self._story.ended_at = time.perf_counter()
        live_from = self._live_from
        for stamp in frame.times:
            if stamp >= live_from:
                tally.record("delivery", now - stamp)
            else:
                counts["replayed"] += 1
        if self._waits_for_missed:
            self._waits_for_missed = False
            if frame.times[0] < live_from:
                tally.record("resume", time.perf_counter() - self._due)


def epoch(stamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 time."""
    return datetime.fromisoformat(stamp).timestamp()
