"""For tests of this package and of what is built on it: an engine that follows a script, without processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kanad_server.engines import Cancelled, Completed, Job, Verdict
from kanad_server.wire import Convergence, Reported, SlotView
from kanad_solvers.spec import Atom, HartreeFock, Molecule, Spec

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
    """A `Slot` that reports `steps` times, waits for `let_go`, and ends with the next verdict of its script."""

    def __init__(self, name: str, script: Sequence[Verdict] = (), steps: int = 2) -> None:
        self._name = name
        self._script = list(script)
        self._steps = steps
        self._job: Job | None = None
        self._cancelled = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.jobs: list[Job] = []

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Follow the script."""
        self._job = job
        self.jobs.append(job)
        self._cancelled.clear()
        try:
            for step in range(1, self._steps + 1):
                hear(Convergence(series="scripted", iteration=step, energy_hartree=-1.0))
            waits = [asyncio.create_task(event.wait(), name="scripted") for event in (self.let_go, self._cancelled)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if self._cancelled.is_set():
                return Cancelled()
            return self._script.pop(0) if self._script else Completed(-1.0, b'{"energy_hartree":-1.0}')
        finally:
            self._job = None

    def cancel(self) -> None:
        """End the running attempt."""
        self._cancelled.set()

    def view(self) -> SlotView:
        """The slot as it is now."""
        if self._job is None:
            return SlotView(name=self._name, state="idle")
        return SlotView(name=self._name, state="running", experiment_id=self._job.experiment_id)


class ScriptedEngine:
    """An `Engine` of scripted slots."""

    def __init__(self, *slots: ScriptedSlot) -> None:
        self.slots: Sequence[ScriptedSlot] = slots
