"""The engine of one machine: slots that are processes of this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kanad_server.engines import forkserver
from kanad_server.engines.base import Need, anything
from kanad_server.engines.process import cores
from kanad_server.engines.slot import Gate, ProcessSlot
from kanad_server.engines.worker import Keeping
from kanad_server.wire import EngineView

REVIVE_S = 1.0


class LocalEngine:
    """`count` process slots. Enter it to start the forkserver; `warm` starts the processes; leaving ends them all."""

    def __init__(
        self, count: int, scratch: Path, gate: Gate, keeping: Keeping, *, takes: Callable[[Need], bool] = anything
    ) -> None:
        self._scratch = scratch
        self._takes = takes
        self._slots = [ProcessSlot(f"local-{number}", scratch, gate, keeping, takes) for number in range(count)]

    @property
    def slots(self) -> Sequence[ProcessSlot]:
        """The slots that can run attempts."""
        return self._slots

    async def changed(self) -> None:
        """Never: the slots of a machine stay."""
        await asyncio.Event().wait()

    def view(self) -> Sequence[EngineView]:
        """The machine."""
        return [EngineView(name="local", state="up", slots=len(self._slots))]

    def misfit(self, need: Need) -> str | None:
        """Why this machine could never take such work."""
        if not self._takes(need) or need.threads <= cores():
            return None
        return f"this machine has {cores()} cores, and limits.threads is {need.threads}: ask for fewer"

    async def __aenter__(self) -> Self:
        # What a killed server left behind; the data directory is ours alone.
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        forkserver.start(str(self._scratch))
        return self

    async def warm(self) -> None:
        """Start every process, and again each one that dies while idle, until cancelled."""
        await asyncio.gather(*(slot.start() for slot in self._slots))
        while True:
            await asyncio.sleep(REVIVE_S)
            await asyncio.gather(*(slot.revive() for slot in self._slots))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(slot.close() for slot in self._slots))
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
