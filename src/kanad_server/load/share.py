"""What one client process carries of a scenario."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import msgspec

from kanad_server.load.checker import Seen, Story, StreamCheck, Violation
from kanad_server.load.poster import Address, Answer, Poster
from kanad_server.load.scenario import Scenario
from kanad_server.load.schedule import Clock, arrivals
from kanad_server.load.tally import Tally
from kanad_server.load.viewer import Frames, Viewer, epoch
from kanad_server.wire import TERMINAL, StatusName

CANCEL_S = 5.0
"""For taking back, after an interruption, what has not ended."""
AT_ONCE = 16
"""Questions asked at a time when the load is over."""

_ASK_EVERY_S = 0.5
_CUT_TRIES = 20
_PAGE = 10_000


class Share(msgspec.Struct, frozen=True, tag="share"):
    """One process's part of a scenario: the `number`-th of `of`."""

    scenario: Scenario
    address: Address
    tag: str
    number: int = 0
    of: int = 1


class Accepted(msgspec.Struct, frozen=True):
    """Of an experiment, what a load needs."""

    id: str
    status: StatusName
    created_at: str


class _Energy(msgspec.Struct, frozen=True):
    energy_hartree: float


class _Log(msgspec.Struct, frozen=True):
    items: list[Seen]
    next_after: int | None = None


class Posted:
    """An experiment that the server has accepted and must bring to its end."""

    def __init__(self, experiment_id: str, due: float | None = None, *, is_mine: bool = True) -> None:
        self.story = Story(experiment_id)
        self.due = due
        self.is_mine = is_mine
        self.viewers: list[Viewer] = []

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.story.experiment_id


class Carrier:
    """Carries a share; what it sees goes into `tally`."""

    def __init__(self, share: Share, tally: Tally, poster: Poster) -> None:
        self._share = share
        self._scenario = share.scenario
        self._tally = tally
        self._poster = poster
        self._frames = Frames(share.scenario.way)
        self._watched: list[Viewer] = []
        self._posted: list[Posted] = []
        self._deadline = 0.0

    async def carry(self, watched: list[str]) -> None:
        """Run to the end, or to the deadline. `watched`: what was posted first. Cancelled, it takes back its own."""
        for number, experiment_id in enumerate(watched):
            is_mine = number % self._share.of == self._share.number  # one process answers for what all watch
            self._posted.append(Posted(experiment_id, is_mine=is_mine))
        limit_s = self._scenario.duration_s + self._scenario.grace_s
        self._deadline = time.perf_counter() + limit_s
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._load(list(self._posted))
            self._tally.end()
            await _each(self._posted, self._settle)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    await _each([p for p in self._posted if p.is_mine and p.story.end is None], self._take_back)
            raise

    async def _load(self, stories: list[Posted]) -> None:
        scenario = self._scenario
        self._tally.begin()
        async with asyncio.TaskGroup() as group:
            arriving = self._clock(scenario.rate, 1)
            spec = msgspec.json.encode(scenario.arriving_spec(self._share.tag))
            for number in range(scenario.connections if scenario.rate else 0):
                group.create_task(self._post_each(group, arriving, spec), name=f"poster-{number}")
            group.create_task(self._connect_each(group, stories), name="connect")
            group.create_task(self._cut_each(), name="cut")

    def _clock(self, whole_rate: float, salt: int, *, without_end: bool = False) -> Clock:
        """This process's part of a schedule: different in each process, the same in each run."""
        scenario, share = self._scenario, self._share
        moments = arrivals(
            whole_rate / share.of,
            float("inf") if without_end else scenario.duration_s,
            poisson=scenario.arrivals == "poisson",
            seed=(scenario.seed * 1000 + share.number) * 10 + salt,
        )
        return Clock(moments, time.perf_counter())

    # Experiments that arrive

    async def _post_each(self, group: asyncio.TaskGroup, arriving: Clock, spec: bytes) -> None:
        async for due in arriving:
            self._tally.counts["due"] += 1
            accepted = await self._post(spec, due)
            if accepted is None:
                continue
            posted = Posted(accepted.id, due)
            self._posted.append(posted)
            if self._scenario.viewers_each:
                group.create_task(self._see_through(posted), name="see-through")

    async def _post(self, spec: bytes, due: float) -> Accepted | None:
        tally = self._tally
        sent, sent_at = time.perf_counter(), time.time()
        tally.counts["posted"] += 1
        answer = await self._ask(self._poster.post("/experiments", spec))
        if answer is None:
            return None
        now, now_at = time.perf_counter(), time.time()
        tally.record("submit", now - due)
        tally.record("service", now - sent)
        tally.counts["accepted"] += 1
        accepted = answer.as_a(Accepted)
        tally.clock(epoch(accepted.created_at), sent_at, now_at)
        return accepted

    async def _see_through(self, posted: Posted) -> None:
        """Watch an arrived experiment to its end."""
        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._scenario.viewers_each):
                viewer = self._viewer(posted)
                group.create_task(viewer.follow(due), name="viewer")
        self._note_end(posted)

    # Experiments that are watched

    async def _connect_each(self, group: asyncio.TaskGroup, stories: list[Posted]) -> None:
        connecting = self._clock(self._scenario.connect_rate, 2, without_end=True)
        numbers = range(self._share.number, self._scenario.watched_viewers, self._share.of)
        for number in numbers:
            due = await anext(connecting)
            viewer = self._viewer(stories[number % len(stories)])
            self._watched.append(viewer)
            group.create_task(viewer.follow(due), name="viewer")

    async def _cut_each(self) -> None:
        draw = random.Random(self._scenario.seed)  # noqa: S311 (whose line is cut is no secret)
        async for _ in self._clock(self._scenario.cut_rate, 3):
            for _ in range(_CUT_TRIES if self._watched else 0):
                if draw.choice(self._watched).cut(draw):
                    self._tally.counts["cuts"] += 1
                    break
            else:
                if self._watched and all(viewer.check.ended for viewer in self._watched):
                    return

    def _viewer(self, posted: Posted) -> Viewer:
        viewer = Viewer(self._share.address, self._scenario.way, posted.story, self._frames, self._tally)
        posted.viewers.append(viewer)
        return viewer

    # When the load is over

    async def _settle(self, posted: Posted) -> None:
        """See that an experiment has ended, that everyone was told so, and that its energy is the result's."""
        status = await self._final_status(posted)
        if status is None:
            if posted.is_mine:
                self._tally.counts["lost"] += 1
                self._tally.fault([Violation("lost", posted.id, 0, "accepted, and not terminal at the deadline")])
            return
        for viewer in posted.viewers:
            self._tally.fault(viewer.check.finish(f"the experiment is {status}"))
        if not posted.is_mine:
            return
        if posted.story.end is None and not posted.viewers:
            await self._read_log(posted)
        self._note_end(posted)
        if status == "completed":
            answer = await self._ask(self._poster.get(f"/experiments/{posted.id}/result"))
            if answer is not None:
                self._tally.counts["checked_results"] += 1
                self._tally.fault(posted.story.compare_energy(answer.as_a(_Energy).energy_hartree))

    async def _final_status(self, posted: Posted) -> str | None:
        """The terminal status; None where there is none at the deadline."""
        if posted.story.end is not None:
            return posted.story.end.status
        while True:
            answer = await self._ask(self._poster.get(f"/experiments/{posted.id}"))
            if answer is not None and (status := answer.as_a(Accepted).status) in TERMINAL:
                return status
            if time.perf_counter() >= self._deadline:
                return None
            await asyncio.sleep(_ASK_EVERY_S)

    async def _read_log(self, posted: Posted) -> None:
        """The check of an experiment that nobody watched."""
        check = StreamCheck(posted.story)
        while not check.ended:
            path = f"/experiments/{posted.id}/events?after={check.last_seq}&limit={_PAGE}"
            answer = await self._ask(self._poster.get(path))
            if answer is None:
                return
            page = answer.as_a(_Log)
            self._tally.counts["events"] += len(page.items)
            self._tally.fault(check.feed(page.items))
            if page.next_after is None:
                self._tally.fault(check.finish("the log ends"))

    def _note_end(self, posted: Posted) -> None:
        """Count and time an end, once."""
        story, tally = posted.story, self._tally
        if story.end is None or not story.told:
            return
        tally.counts[str(story.end.status)] += 1
        running = next((e for e in story.told.values() if e.status == "running"), None)
        if running is not None and 1 in story.told:
            tally.record("queue_wait", epoch(running.time) - epoch(story.told[1].time))
        if posted.due is not None:
            ended_at = story.ended_at
            if ended_at is None:  # nobody watched: the server's own time of the end
                ended_at = epoch(story.end.time) - time.time() + time.perf_counter()
            tally.record("e2e", ended_at - posted.due)
        story.told.clear()

    async def _take_back(self, posted: Posted) -> None:
        await self._ask(self._poster.post(f"/experiments/{posted.id}/cancel", b""))

    async def _ask(self, asking: Awaitable[Answer]) -> Answer | None:
        """The answer; None where there was none, or a refusal or an error, which is counted."""
        try:
            answer = await asking
        except (OSError, TimeoutError) as error:
            self._tally.error(f"http_{type(error).__name__}")
            return None
        if answer.is_refusal:
            self._tally.refusal(answer.code)
        elif not answer.is_success:
            self._tally.error(answer.code)
        return answer if answer.is_success else None


async def _each(items: Iterable[Posted], work: Callable[[Posted], Coroutine[Any, Any, None]]) -> None:
    """Do `work` for each, `AT_ONCE` at a time."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(take(), name=f"settle-{number}")
