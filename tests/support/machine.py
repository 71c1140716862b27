"""Life cycle, dispatch and store as one machine, held against a model: any order of submits, reports, ends, losses,
cancels, retries, deadlines, restarts and crashes, with workers that do as the machine says and clocks that jump."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kanad_server import journal as journals
from kanad_server import lifecycle
from kanad_server.dispatch import Dispatch
from kanad_server.engines import Cancelled, Completed, Failed, Job, Lost, Verdict
from kanad_server.engines.base import Need
from kanad_server.errors import Conflict, TooMany, Unavailable
from kanad_server.hub import Hub
from kanad_server.journal import Journal, Key
from kanad_server.lifecycle import RefusedChange
from kanad_server.store import SqliteStore
from kanad_server.testing import ScriptedEngine, spec
from kanad_server.wire import Convergence, Error, Experiment, Reported, SlotView
from kanad_solvers.spec import Limits

MAX_ATTEMPTS = 2
MAX_WAITING = 7
MAX_WAITING_EACH = 4
WALL_S = 600.0
LOST = Error(code="worker_lost", message="it died")
FAILED = Error(code="not_converged", message="no")
ENDED = ("completed", "failed", "cancelled")


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be moved on."""

    ahead_s = 0.0

    def time(self) -> float:
        """The loop's clock."""
        return super().time() + self.ahead_s


class Puppet:
    """A `Slot` whose worker does what the machine says."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.hear: Callable[[Reported], None] | None = None
        self.is_cancelled = False
        self.starts = 0
        self._verdict: asyncio.Future[Verdict] | None = None

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Wait for the verdict."""
        self.job, self.hear, self.is_cancelled = job, hear, False
        self.starts += 1
        self._verdict = asyncio.get_running_loop().create_future()
        try:
            return await self._verdict
        finally:
            self.job = None

    def cancel(self) -> None:
        """Remember it; when it is obeyed is the machine's to say."""
        self.is_cancelled = True

    def end(self, verdict: Verdict) -> None:
        """What becomes of the attempt."""
        assert self._verdict is not None
        self._verdict.set_result(verdict)

    def view(self) -> SlotView:
        """Not asked for here."""
        raise NotImplementedError

    def claim(self, need: Need) -> bool:
        """Everything fits."""
        return True

    def release(self) -> None:
        """Nothing was reserved."""


class Theatre(ScriptedEngine):
    """An `Engine` of puppets that tells when dispatch has taken up what there was."""

    def __init__(self, *puppets: Puppet) -> None:
        super().__init__(*puppets)  # type: ignore[arg-type]  # a slot is a slot
        self.is_served = asyncio.Event()

    async def changed(self) -> None:
        """Slots neither come nor go."""
        self.is_served.set()
        await super().changed()


@dataclass
class Expected:
    """What the model knows of an experiment."""

    owner: str
    priority: int
    status: str = "queued"
    attempt: int = 1
    losses: int = 0
    cancel_requested: bool = False
    energy: float | None = None
    ends: int = 0

    def again(self) -> None:
        """Another attempt."""
        self.status, self.attempt, self.energy = "queued", self.attempt + 1, None

    def end(self, status: str, energy: float | None = None) -> None:
        """It is over."""
        self.status, self.energy = status, energy
        self.ends += 1


class Machine(RuleBasedStateMachine):
    """The rules; each ends with everything committed, and with the model saying the same."""

    late_words = 0  # over all runs: words of attempts that were over, each refused

    def __init__(self) -> None:
        super().__init__()
        self._loop = Loop()
        self._pace = mock.patch.object(journals, "PACE_S", 0.0)
        self._pace.start()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._known: dict[str, Expected] = {}
        self._keys: dict[str, tuple[str, str]] = {}
        self._over: list[tuple[str, int]] = []
        self._wall = datetime(2026, 1, 1, tzinfo=UTC)
        self._energy = -1.0
        self._late: set[str] = set()

    # Start, end, crash

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        """An empty data directory."""
        self._slots = slots
        self._do(self._open())

    async def _open(self) -> None:
        self._puppets = [Puppet() for _ in range(self._slots)]
        self._store = SqliteStore(Path(self._folder.name) / "kanad.sqlite")
        await self._store.__aenter__()
        self._journal = Journal(self._store, Hub(), self._now)
        engine = Theatre(*self._puppets)
        self._dispatch = Dispatch(
            self._journal,
            engine,
            max_attempts=MAX_ATTEMPTS,
            max_waiting=MAX_WAITING,
            max_waiting_per_person=MAX_WAITING_EACH,
        )
        self._committing = asyncio.create_task(self._journal.run())
        self._running = asyncio.create_task(self._dispatch.run())
        await engine.is_served.wait()
        await self._quiet()

    async def _close(self, *, is_crash: bool) -> None:
        if is_crash:  # nothing that is not yet in the store gets there
            await _end(self._committing)
            await _end(self._running)
        else:
            await _end(self._running)
            await self._journal.settle()
            await _end(self._committing)
        await self._store.__aexit__(None, None, None)

    async def _quiet(self) -> None:
        """Until all is committed, and nobody who could go on waits."""
        for _ in range(100):
            await self._journal.settle()
            for _ in range(8):
                await asyncio.sleep(0)
            is_served = all(puppet.job for puppet in self._puppets) or not self._dispatch.queue_length
            if is_served and not self._journal.uncommitted:
                return

    def _do(self, work: Any) -> Any:
        asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(asyncio.wait_for(work, 1e6))

    def teardown(self) -> None:
        """Let every worker finish: then everything that was accepted has ended."""
        if hasattr(self, "_store"):
            while any(puppet.job for puppet in self._puppets):
                self.complete(0)
            self.agrees()
            assert all(expected.status in ENDED for expected in self._known.values())
            self._do(self._check_logs())
            self._do(self._close(is_crash=False))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._pace.stop()
        self._folder.cleanup()

    # What people do

    @rule(owner=st.sampled_from("ab"), priority=st.integers(-1, 1))
    def submit(self, owner: str, priority: int) -> None:
        """Accepted, or refused because too many wait."""
        waiting = [expected for expected in self._known.values() if expected.status == "queued"]
        of_owner = sum(expected.owner == owner for expected in waiting)
        try:
            experiment = self._do(self._submit(owner, priority))
        except Unavailable:
            assert len(waiting) == MAX_WAITING
        except TooMany:
            assert of_owner == MAX_WAITING_EACH
        else:
            assert len(waiting) < MAX_WAITING
            assert of_owner < MAX_WAITING_EACH
            self._known[experiment.id] = Expected(owner, priority)

    @rule(key=st.sampled_from(["k", "l"]), body=st.sampled_from(["x", "y"]))
    def submit_with_key(self, key: str, body: str) -> None:
        """The first use makes an experiment, the next one finds it, another body is told."""
        known = self._keys.get(key)
        try:
            experiment = self._do(self._submit("key", 0, Key(owner="key", key=key, body_hash=body)))
        except Conflict:
            assert known is not None
            assert known[0] != body
        except (Unavailable, TooMany):
            assert known is None
        else:
            if known is not None:
                assert known == (body, experiment.id)
            else:
                self._keys[key] = (body, experiment.id)
                self._known[experiment.id] = Expected("key", 0)

    async def _submit(self, owner: str, priority: int, key: Key | None = None) -> Experiment:
        wanted = spec(fresh=True, priority=priority, limits=Limits(wall_s=WALL_S))
        (experiment,), _ = await self._dispatch.submit([wanted], owner=owner, key=key)
        await self._quiet()
        return experiment

    @precondition(lambda self: self._known)
    @rule(which=st.integers(0, 1_000), times=st.integers(1, 2))
    def cancel(self, which: int, times: int) -> None:
        """What waits has ended, what runs is asked to end, what has ended stays."""
        name = self._choose(which)
        expected = self._known[name]
        for _ in range(times):
            self._do(self._then_quiet(self._dispatch.cancel(name)))
        if expected.status == "queued":
            expected.end("cancelled")
        elif expected.status == "running":
            expected.cancel_requested = True
            assert self._puppet_of(name).is_cancelled

    @precondition(lambda self: self._known)
    @rule(which=st.integers(0, 1_000), priority=st.integers(-1, 2))
    def prioritize(self, which: int, priority: int) -> None:
        """What waits gets another place, and nothing else."""
        name = self._choose(which)
        expected = self._known[name]
        try:
            self._do(self._then_quiet(self._dispatch.prioritize(name, priority)))
        except Conflict:
            assert expected.status != "queued"
        else:
            assert expected.status == "queued"
            expected.priority = priority

    @precondition(lambda self: self._known)
    @rule(which=st.integers(0, 1_000))
    def retry(self, which: int) -> None:
        """What failed or was cancelled runs again."""
        name = self._choose(which)
        expected = self._known[name]
        try:
            self._do(self._then_quiet(self._dispatch.retry(name)))
        except Conflict:
            assert expected.status not in ("failed", "cancelled")
        else:
            assert expected.status in ("failed", "cancelled")
            expected.again()
            expected.losses, expected.cancel_requested = 0, False

    # What workers do

    @precondition(lambda self: self._busy())
    @rule(which=st.integers(0, 2), reports=st.integers(1, 5))
    def report(self, which: int, reports: int) -> None:
        """Progress."""
        puppet = self._choose_busy(which)

        async def speak() -> None:
            assert puppet.hear is not None
            for number in range(reports):
                puppet.hear(Convergence(series="s", iteration=number, energy_hartree=-0.5))
            await self._quiet()

        self._do(speak())

    @precondition(lambda self: self._busy())
    @rule(which=st.integers(0, 2))
    def complete(self, which: int) -> None:
        """A result, also of one that was told to end: it was there first."""
        name, expected = self._end(which, Completed(self._next_energy(), _result(self._energy)))
        expected.end("completed", self._energy)
        self._late.discard(name)

    @precondition(lambda self: self._busy())
    @rule(which=st.integers(0, 2))
    def fail(self, which: int) -> None:
        """An error that another attempt would meet again."""
        name, expected = self._end(which, Failed(FAILED))
        expected.end("failed")
        self._late.discard(name)

    @precondition(lambda self: self._busy())
    @rule(which=st.integers(0, 2))
    def lose(self, which: int) -> None:
        """The worker dies."""
        name, expected = self._end(which, Lost(LOST))
        expected.losses += 1
        self._late.discard(name)
        if expected.cancel_requested:
            expected.end("cancelled")
        elif expected.losses < MAX_ATTEMPTS:
            expected.again()
        else:
            expected.end("failed")

    @precondition(lambda self: any(puppet.is_cancelled for puppet in self._busy()))
    @rule(which=st.integers(0, 2))
    def obey(self, which: int) -> None:
        """A worker that was told to end does."""
        told = [puppet for puppet in self._busy() if puppet.is_cancelled]
        puppet = told[which % len(told)]
        name, expected = self._end(self._busy().index(puppet), Cancelled())
        if name in self._late and not expected.cancel_requested:
            expected.end("failed")  # timeout
        else:
            expected.end("cancelled")
        self._late.discard(name)

    @precondition(lambda self: self._over)
    @rule(which=st.integers(0, 1_000))
    def speak_late(self, which: int) -> None:
        """A word of an attempt that is over changes nothing."""
        name, attempt = self._over[which % len(self._over)]
        words = (
            lifecycle.Complete(attempt, -99.0, _result(-99.0)),
            lifecycle.Hear(attempt, Convergence(series="late", iteration=9, energy_hartree=-99.0)),
            lifecycle.Lose(attempt, LOST),
        )
        for word in words:
            try:
                self._journal.propose(name, word)
            except (RefusedChange, KeyError):
                Machine.late_words += 1
            else:
                raise AssertionError(f"{word} was taken")

    # What the world does

    @rule(hours=st.sampled_from([-1, 1]))
    def wall_clock_jumps(self, hours: int) -> None:
        """Somebody sets the clock."""
        self._wall += timedelta(hours=hours)

    @rule()
    def time_passes(self) -> None:
        """More than any attempt may take."""
        self._late |= {puppet.job.experiment_id for puppet in self._busy() if puppet.job is not None}
        self._loop.ahead_s += WALL_S + 1

        async def pass_on() -> None:
            await asyncio.sleep(0.001)
            await self._quiet()

        self._do(pass_on())
        assert all(
            puppet.is_cancelled for puppet in self._busy() if puppet.job and puppet.job.experiment_id in self._late
        )

    @rule(is_crash=st.booleans())
    def restart(self, is_crash: bool) -> None:
        """The server ends, in order or not, and comes back."""
        self._interrupt()
        self._do(self._close(is_crash=is_crash))
        self._do(self._open())

    @precondition(lambda self: self._busy())
    @rule(which=st.integers(0, 2))
    def crash_while_a_result_is_on_its_way(self, which: int) -> None:
        """Either it is there with its number, or it never was and the experiment runs again."""
        puppet = self._choose_busy(which)
        assert puppet.job is not None
        name = puppet.job.experiment_id
        verdict = Completed(self._next_energy(), _result(self._energy))

        async def crash() -> dict[str, str]:
            puppet.end(verdict)
            for _ in range(which):
                await asyncio.sleep(0)
            await self._close(is_crash=True)
            async with SqliteStore(Path(self._folder.name) / "kanad.sqlite") as store:
                found = [await store.get(known) for known in self._known]
                return {experiment.id: experiment.status for experiment in found if experiment is not None}

        stored = self._do(crash())
        if stored[name] == "completed":
            self._known[name].end("completed", self._energy)
        for waiting, expected in self._known.items():
            if expected.status == "queued" and stored[waiting] == "running":
                expected.status = "running"  # the next one's turn had come
        self._interrupt()
        self._do(self._open())

    # What always holds

    @invariant()
    def agrees(self) -> None:
        """The store says what the model says, and no slot is idle while somebody waits."""
        if not hasattr(self, "_store"):
            return
        if self._running.done():
            self._running.result()
        for puppet in self._busy():
            assert puppet.job is not None
            expected = self._known[puppet.job.experiment_id]
            if expected.status == "queued":  # its turn has come
                expected.status = "running"
                self._over.append((puppet.job.experiment_id, expected.attempt - 1))
            assert puppet.job.attempt == expected.attempt
        running = {puppet.job.experiment_id for puppet in self._busy() if puppet.job is not None}
        assert running == {name for name, expected in self._known.items() if expected.status == "running"}
        waiting = [expected for expected in self._known.values() if expected.status == "queued"]
        assert not waiting or len(running) == self._slots
        assert self._dispatch.queue_length == len(waiting)
        self._do(self._check_states())

    async def _check_states(self) -> None:
        for name, expected in self._known.items():
            found = await self._journal.current(name)
            assert found is not None
            assert (found.status, found.attempt, found.priority, found.energy_hartree) == (
                expected.status, expected.attempt, expected.priority, expected.energy,
            )  # fmt: skip

    async def _check_logs(self) -> None:
        """Numbers without a gap, each end told once, and the result of the attempt that completed."""
        for name, expected in self._known.items():
            bodies = [msgspec.json.decode(body) for _, body in await self._store.events(name, 0, 10_000)]
            assert [body["seq"] for body in bodies] == list(range(1, len(bodies) + 1))
            assert [body["attempt"] for body in bodies] == sorted(body["attempt"] for body in bodies)
            assert sum(body["type"] == "status" and body["status"] in ENDED for body in bodies) == expected.ends
            result = await self._store.result(name)
            assert (result is not None) == (expected.status == "completed")
            if result is not None:
                assert msgspec.json.decode(result)["energy_hartree"] == expected.energy

    # Parts

    def _now(self) -> str:
        self._wall += timedelta(milliseconds=1)
        return self._wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _next_energy(self) -> float:
        self._energy -= 1.0
        return self._energy

    def _busy(self) -> list[Puppet]:
        return [puppet for puppet in getattr(self, "_puppets", ()) if puppet.job is not None]

    def _choose_busy(self, which: int) -> Puppet:
        return self._busy()[which % len(self._busy())]

    def _choose(self, which: int) -> str:
        names = list(self._known)
        return names[which % len(names)]

    def _puppet_of(self, name: str) -> Puppet:
        (found,) = [puppet for puppet in self._busy() if puppet.job is not None and puppet.job.experiment_id == name]
        return found

    def _end(self, which: int, verdict: Verdict) -> tuple[str, Expected]:
        puppet = self._choose_busy(which)
        assert puppet.job is not None
        name = puppet.job.experiment_id
        self._over.append((name, puppet.job.attempt))

        async def end() -> None:
            puppet.end(verdict)
            await self._quiet()

        self._do(end())
        return name, self._known[name]

    def _interrupt(self) -> None:
        """What ran runs again, unless a person wanted its end."""
        for expected in self._known.values():
            if expected.status == "running":
                if expected.cancel_requested:
                    expected.end("cancelled")
                else:
                    expected.again()
        self._late.clear()

    async def _then_quiet(self, work: Any) -> None:
        await work
        await self._quiet()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _result(energy: float) -> bytes:
    return msgspec.json.encode({"energy_hartree": energy, "converged": True})
