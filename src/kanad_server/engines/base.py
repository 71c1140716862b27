"""What dispatch asks of an engine: slots that run one attempt at a time and tell how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from kanad_server.wire import EngineView, Error, Reported, SlotView
from kanad_solvers.spec import Spec


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to run."""

    experiment_id: str
    attempt: int
    spec: Spec


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a slot must have to run a spec; `is_large` where it is not for this machine when there is a cluster."""

    memory_mb: int
    threads: int = 1
    is_large: bool = False


class Completed(msgspec.Struct, frozen=True):
    """The attempt ended with a result (encoded JSON); `made_with` where it may be used again (`versions`)."""

    energy_hartree: float | None
    result: bytes
    made_with: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """The attempt ended in an error that another attempt would meet again."""

    error: Error


class Cancelled(msgspec.Struct, frozen=True):
    """The attempt ended because `Slot.cancel` was called."""


class Lost(msgspec.Struct, frozen=True):
    """The worker died under the attempt."""

    error: Error


class Interrupted(msgspec.Struct, frozen=True):
    """The engine lost the attempt through no fault of its worker (its cluster went away): run it again."""

    reason: str


Verdict: TypeAlias = Completed | Failed | Cancelled | Lost | Interrupted


def anything(_: Need) -> bool:
    """Every attempt is for this engine."""
    return True


class Slot(Protocol):
    """The place where one attempt runs at a time."""

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Run `job`; `hear` gets every report in order, and none after this has returned."""

    def cancel(self) -> None:
        """Ask the running attempt to end; it is ended by force soon after."""

    def view(self) -> SlotView:
        """The slot as it is now."""

    def claim(self, need: Need) -> bool:
        """Take what `need` asks for, if it is free here now; `run` or `release` gives it back."""

    def release(self) -> None:
        """Give back what was claimed for an attempt that is not run after all."""


class Engine(Protocol):
    """A provider of slots."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots that can run attempts now."""

    async def warm(self) -> None:
        """Bring the slots up; an engine that has to be held runs until cancelled."""

    async def changed(self) -> None:
        """Wait until slots have come or gone."""

    def view(self) -> Sequence[EngineView]:
        """The engine, or the engines that it is made of, as they are now."""

    def misfit(self, need: Need) -> str | None:
        """Why no slot that there is could ever take such work, and what to do; None where one could."""
