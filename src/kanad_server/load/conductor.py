"""Conducts a run: sees that the server is ready, starts the client processes, adds up what they say."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from kanad_server.load.checker import Violation
from kanad_server.load.conditions import Condition
from kanad_server.load.errors import BadScenario, NotReady
from kanad_server.load.poster import Address, Answer, Poster
from kanad_server.load.private import PrivateServer
from kanad_server.load.process import Found, News, Order, Ready, Start, Stop, carry, decode_word, encode
from kanad_server.load.report import Report, make_report
from kanad_server.load.scenario import Scenario
from kanad_server.load.share import CANCEL_S, Accepted, Share
from kanad_server.load.tally import Tally
from kanad_server.wire import Problem, System

MAX_PROCS = 64
READY_S = 60.0
"""For the server to be ready, and for client processes to have loaded what they need."""
END_S = 60.0
"""For client processes to settle what is left behind the deadline."""
LOOK_EVERY_S = 0.5
_SPARE_DESCRIPTORS = 100


class Client:
    """One client process, as the conductor sees it."""

    def __init__(self, share: Share, on_violation: Callable[[Violation], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=carry, args=(msgspec.msgpack.encode(share), theirs), name=f"load-{share.number}", daemon=True
        )
        self._process.start()
        theirs.close()
        self._on_violation = on_violation
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.news: News | None = None
        self.cpu_percent = 0.0
        loop.add_reader(self._pipe.fileno(), self._take)

    @property
    def mean_cpu_percent(self) -> float:
        """Of a core, over the whole run."""
        return 100 * self.news.cpu_s / max(self.news.wall_s, 1e-3) if self.news else 0.0

    def tell(self, order: Order) -> None:
        """Give an order; a process that has gone cannot take one."""
        try:
            self._pipe.send_bytes(encode(order))
        except OSError:
            self._gone()

    def close(self) -> None:
        """End it, whatever it does."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(5)
        self._pipe.close()

    def _take(self) -> None:
        try:
            while self._pipe.poll():
                self._word(self._pipe)
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._gone()

    def _word(self, pipe: Connection) -> None:
        match decode_word(pipe.recv_bytes()):
            case Ready():
                self.ready.set_result(None)
            case Found(violation=violation):
                self._on_violation(violation)
            case News() as news:
                before = self.news
                cpu, wall = (before.cpu_s, before.wall_s) if before else (0.0, 0.0)
                self.cpu_percent = 100 * (news.cpu_s - cpu) / max(news.wall_s - wall, 1e-3)
                self.news = news
                if news.is_last and not self.ended.done():
                    self.ended.set_result(None)

    def _gone(self) -> None:
        for future in (self.ready, self.ended):
            if not future.done():
                future.set_exception(NotReady("a client process has died; its traceback is above"))
                future.exception()  # whoever waits gets it; nobody has to


class Progress(msgspec.Struct, frozen=True):
    """How a run goes, for a view."""

    elapsed_s: float
    tally: Tally
    cpu_percent: list[float]


async def conduct(
    scenario: Scenario,
    address: Address,
    *,
    procs: int = 1,
    conditions: list[Condition] | None = None,
    private: PrivateServer | None = None,
    restart_at_s: float | None = None,
    on_violation: Callable[[Violation], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Run `scenario` against the server at `address`; Ctrl-C ends it early, with a report of what there is.

    Raises:
        BadScenario: it needs more descriptors than this machine gives.
        NotReady: the server is away or refuses what the scenario posts, or a client process has died.
    """
    check_limits(scenario, procs)
    tag = f"load-{secrets.token_hex(4)}"
    async with Poster(address) as poster, _interruption() as interrupted:
        versions = await _ready(poster, address, scenario, tag)
        clients = [Client(Share(scenario, address, tag, number, procs), on_violation) for number in range(procs)]
        try:
            async with asyncio.timeout(READY_S):
                await _all([client.ready for client in clients])
            watched = await _post_watched(poster, scenario, tag)
            for client in clients:
                client.tell(Start(watched))
            await _watch(clients, scenario, interrupted, len(watched), private, restart_at_s, on_progress)
            tally = _added(clients, len(watched))
        except TimeoutError:
            raise NotReady(f"client processes did not start within {READY_S:g} s") from None
        finally:
            for client in clients:
                client.close()
    return make_report(
        scenario, tally, conditions or [], url=address.base, server=versions,
        cpu_percent=[client.mean_cpu_percent for client in clients],
        interrupted=interrupted.is_set(), server_process=private.figures() if private else None,
    )  # fmt: skip


def check_limits(scenario: Scenario, procs: int) -> None:
    """Refuse what this machine cannot carry.

    Raises:
        BadScenario: too many processes, or more descriptors than a process may have.
    """
    if not 1 <= procs <= MAX_PROCS:
        raise BadScenario(f"--procs must be from 1 to {MAX_PROCS}, got {procs}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = scenario.watched_viewers // procs + scenario.connections + _SPARE_DESCRIPTORS
    if needed > most:
        raise BadScenario(f"the scenario needs {needed} descriptors in a process, the limit (ulimit -Hn) is {most}")


async def _ready(poster: Poster, address: Address, scenario: Scenario, tag: str) -> dict[str, str]:
    """Wait until the server is there and would take what the scenario posts; its versions."""
    deadline = time.perf_counter() + READY_S
    spec = scenario.watched_spec(tag) if scenario.experiments else scenario.arriving_spec(tag)
    while True:
        answer = await _answer(poster.post("/estimate", spec), address)
        if not answer.is_refusal or time.perf_counter() > deadline:
            break
        await asyncio.sleep(0.2)
    if not answer.is_success:
        raise NotReady(_refusal(answer, address))
    return (await _answer(poster.get("/system"), address)).as_a(System).versions


async def _answer(asking: Awaitable[Answer], address: Address) -> Answer:
    try:
        return await asking
    except (OSError, TimeoutError) as error:
        raise NotReady(
            f"{address.base} does not answer ({error or type(error).__name__});"
            " start kanad serve --enable-probe, or add --private for a server of the run's own"
        ) from error


def _refusal(answer: Answer, address: Address) -> str:
    try:
        problem = answer.as_a(Problem)
    except msgspec.MsgspecError:
        return f"{address.base} answers {answer.status}; it does not seem to be a kanad-server"
    hint = ""
    if any(error.path == "$.method.name" for error in problem.errors) and "probe" in problem.detail:
        hint = "; start it with kanad serve --enable-probe, or load it with --method hf"
    elif problem.status == 401:
        hint = "; pass --token or set KANAD_TOKEN"
    return f"{address.base} refuses the scenario: {problem.status} {problem.code}: {problem.detail}{hint}"


async def _post_watched(poster: Poster, scenario: Scenario, tag: str) -> list[str]:
    """Post what will be watched; a server that has too much to do is asked again, for as long as the grace is."""
    deadline = time.perf_counter() + scenario.grace_s
    posted: list[str] = []
    while len(posted) < scenario.experiments:
        answer = await poster.post("/experiments", scenario.watched_spec(tag))
        if answer.is_success:
            posted.append(answer.as_a(Accepted).id)
        elif not answer.is_refusal or time.perf_counter() > deadline:
            raise NotReady(f"after {len(posted)} experiments: {answer.status} {answer.code}")
        else:
            await asyncio.sleep(0.2)
    return posted


async def _watch(
    clients: list[Client],
    scenario: Scenario,
    interrupted: asyncio.Event,
    watched: int,
    private: PrivateServer | None,
    restart_at_s: float | None,
    on_progress: Callable[[Progress], None],
) -> None:
    """Wait for the processes, looking now and then; an interruption has them end at once."""
    begun = time.perf_counter()
    if private is not None:
        private.begin()
    ended = asyncio.create_task(_all([client.ended for client in clients]), name="ended")
    stopping = asyncio.create_task(interrupted.wait(), name="interrupted")
    is_stopped = False
    limit_s = scenario.duration_s + scenario.grace_s + END_S
    try:
        while not ended.done():
            waits: set[asyncio.Task[Any]] = {ended} if is_stopped else {ended, stopping}
            await asyncio.wait(waits, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            elapsed_s = time.perf_counter() - begun
            if stopping.done() and not is_stopped:
                is_stopped, limit_s = True, elapsed_s + CANCEL_S + END_S
                for client in clients:
                    client.tell(Stop())
            if private is not None:
                if restart_at_s is not None and elapsed_s >= restart_at_s:
                    restart_at_s = None
                    await private.restart()
                private.look()
            on_progress(Progress(elapsed_s, _added(clients, watched), [client.cpu_percent for client in clients]))
            if elapsed_s > limit_s:
                raise NotReady(f"client processes did not end within {END_S:g} s of the deadline")
        ended.result()
    finally:
        ended.cancel()
        stopping.cancel()


async def _all(futures: list[asyncio.Future[None]]) -> None:
    await asyncio.gather(*futures)


def _added(clients: list[Client], watched: int) -> Tally:
    """What all processes have told so far, and what was posted for them to watch."""
    tally = Tally()
    tally.counts.update({"due": watched, "posted": watched, "accepted": watched})
    for client in clients:
        if client.news is not None:
            tally.add(client.news.snapshot)
    return tally


@asynccontextmanager
async def _interruption() -> AsyncIterator[asyncio.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one ends the process as ever."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def interrupt() -> None:
        event.set()
        release()

    def release() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield event
    finally:
        release()
