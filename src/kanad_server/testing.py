"""For tests of this package and of what is built on it: an engine that follows a script, without processes.

A `probe` is followed as a worker would follow it, its faults included; every other spec gets the next verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kanad_server.engines import Cancelled, Completed, Failed, Job, Lost, Need, Verdict
from kanad_server.engines.worker import out_of_memory
from kanad_server.wire import Convergence, EngineView, Error, Reported, SlotView, Stage
from kanad_solvers.spec import Atom, HartreeFock, Molecule, Probe, Spec

PROBE_FAILURES = {
    "raise": "solver_failed",
    "unpicklable": "solver_failed",
    "oom": "out_of_memory",
    "huge_result": "bad_result",
    "nan_result": "bad_result",
}

H2 = Molecule(
    atoms=(
        Atom(symbol="H", position_angstrom=(0.0, 0.0, 0.0)),
        Atom(symbol="H", position_angstrom=(0.0, 0.0, 0.7414)),
    ),
    multiplicity=1,
)


def spec(**fields: object) -> Spec:
    """A small sound spec."""
    return Spec(**({"molecule": H2, "method": HartreeFock()} | fields))  # type: ignore[arg-type]  # by name


class ScriptedSlot:
    """A `Slot` that reports `steps` times, waits for `let_go`, and ends with the next verdict of its script.

    It takes work of up to `memory_mb`, and each attempt `holds_mb`: one that was granted less is ended.
    """

    def __init__(
        self,
        name: str,
        script: Sequence[Verdict] = (),
        steps: int = 2,
        *,
        memory_mb: int = 4_194_304,
        holds_mb: int = 0,
    ) -> None:
        self._memory_mb, self._holds_mb = memory_mb, holds_mb
        self._name = name
        self._script = list(script)
        self._steps = steps
        self._job: Job | None = None
        self._cancelled = asyncio.Event()
        self._died = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.jobs: list[Job] = []

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Follow the script."""
        self._job = job
        self.jobs.append(job)
        self._cancelled.clear()
        self._died.clear()
        try:
            if isinstance(job.spec.method, Probe):
                return await self._follow_probe(job.spec.method, hear)
            for step in range(1, self._steps + 1):
                hear(Convergence(series="scripted", iteration=step, energy_hartree=-1.0))
            await asyncio.sleep(0)
            if not self.let_go.is_set():
                await self._let_go_or_cancelled()
            if self._cancelled.is_set():
                return Cancelled()
            if self._holds_mb > (granted_mb := job.spec.limits.memory_mb):
                return Failed(out_of_memory(granted_mb))
            return self._script.pop(0) if self._script else Completed(-1.0, b'{"energy_hartree":-1.0}')
        finally:
            self._job = None

    async def _let_go_or_cancelled(self) -> None:
        waits = [asyncio.create_task(event.wait(), name="scripted") for event in (self.let_go, self._cancelled)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _follow_probe(self, method: Probe, hear: Callable[[Reported], None]) -> Verdict:
        hear(Stage(stage=0, last_stage=1, message="Probe started"))
        for step in range(1, method.steps + 1):
            if await self._is_ended_within(method.step_ms / 1000):
                break
            hear(Convergence(series="probe", iteration=step, energy_hartree=-1.0 + 2.0**-step))
        if method.fault in ("hang", "busy_c_loop"):
            await self._is_ended_within(3_600)
        if self._died.is_set():
            return Lost(Error(code="worker_lost", message="the worker process ended by SIGKILL"))
        if self._cancelled.is_set():
            return Cancelled()
        if method.fault in ("sigsegv", "os_exit"):
            return Lost(Error(code="worker_crashed", message="the worker process ended"))
        if method.fault in PROBE_FAILURES:
            return Failed(Error(code=PROBE_FAILURES[method.fault], message="the probe failed as it was told to"))
        hear(Stage(stage=1, last_stage=1, message="Probe done", energy_hartree=-1.0))
        return Completed(-1.0, b'{"energy_hartree":-1.0}')

    async def _is_ended_within(self, seconds: float) -> bool:
        waits = [asyncio.create_task(event.wait(), name="scripted") for event in (self._died, self._cancelled)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._died.is_set() or self._cancelled.is_set()

    def die(self) -> None:
        """What kill -9 is to a worker."""
        self._died.set()

    def cancel(self) -> None:
        """End the running attempt."""
        self._cancelled.set()

    def claim(self, need: Need) -> bool:
        """Take what is not larger than the slot."""
        return need.memory_mb <= self._memory_mb

    def release(self) -> None:
        """Nothing was reserved."""

    def view(self) -> SlotView:
        """The slot as it is now."""
        if self._job is None:
            return SlotView(name=self._name, state="idle")
        return SlotView(name=self._name, state="running", experiment_id=self._job.experiment_id)


class ScriptedEngine:
    """An `Engine` of scripted slots."""

    def __init__(self, *slots: ScriptedSlot) -> None:
        self.slots: Sequence[ScriptedSlot] = slots
        self._changed = asyncio.Event()

    def show(self, *slots: ScriptedSlot) -> None:
        """These slots are there from now on, and no others."""
        self.slots = slots
        self._changed.set()

    async def warm(self) -> None:
        """They are up."""

    async def changed(self) -> None:
        """Wait until slots have come or gone."""
        await self._changed.wait()
        self._changed.clear()

    def view(self) -> Sequence[EngineView]:
        """The engine as it is now."""
        return [EngineView(name="scripted", state="up", slots=len(self.slots))]

    def misfit(self, need: Need) -> str | None:
        """Why no slot that there is could take such work."""
        return None if not self.slots or any(slot.claim(need) for slot in self.slots) else "no slot is so large"
