"""Two engines at once: this machine for what is small, a cluster for what is large."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kanad_server.engines.base import Engine, Need, Slot
from kanad_server.wire import EngineView


class BothEngines:
    """The slots of several engines; each of them says which work is its own (`claim`)."""

    def __init__(self, *engines: Engine) -> None:
        self._engines = engines

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots of all."""
        return [slot for engine in self._engines for slot in engine.slots]

    async def changed(self) -> None:
        """Wait until slots of one of them have come or gone."""
        waits = [asyncio.create_task(engine.changed(), name="engine-changed") for engine in self._engines]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def view(self) -> Sequence[EngineView]:
        """Each of them."""
        return [view for engine in self._engines for view in engine.view()]

    def misfit(self, need: Need) -> str | None:
        """Why the one that is for such work could never take it."""
        return next((reason for engine in self._engines if (reason := engine.misfit(need)) is not None), None)

    async def warm(self) -> None:
        """Bring all of them up."""
        async with asyncio.TaskGroup() as group:
            for number, engine in enumerate(self._engines):
                group.create_task(engine.warm(), name=f"warm-{number}")
