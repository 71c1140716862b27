"""What dispatch asks of an engine: slots that run one attempt at a time and tell how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from kanad_server.wire import Error, Reported, SlotView
from kanad_solvers.spec import Spec


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to run."""

    experiment_id: str
    attempt: int
    spec: Spec


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


Verdict: TypeAlias = Completed | Failed | Cancelled | Lost


class Slot(Protocol):
    """The place where one attempt runs at a time."""

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Run `job`; `hear` gets every report in order, and none after this has returned."""

    def cancel(self) -> None:
        """Ask the running attempt to end; it is ended by force soon after."""

    def view(self) -> SlotView:
        """The slot as it is now."""


class Engine(Protocol):
    """A provider of slots."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots that can run attempts."""
