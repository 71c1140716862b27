"""The process at which specs are checked: it has PySCF and RDKit, the server does not.

A question that brings the process down, or holds it too long, costs that question its answer and nobody else theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from kanad_server.engines.process import WorkerProcess, launched

ANSWER_S = 20.0


class NoAnswer(Exception):
    """The process died over the question, or took too long."""


class Desk:
    """One process that answers one question at a time."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process: WorkerProcess | None = None
        self._one_at_a_time = asyncio.Lock()

    async def warm(self) -> None:
        """Start the process, so that the first question finds it."""
        async with self._one_at_a_time:
            await self._start()

    async def ask(self, answer: Callable[[bytes], bytes], question: bytes) -> bytes:
        """`answer(question)`, computed in the process; `answer` is a function of an importable module.

        Raises:
            NoAnswer: see there.
            RaisedInWorker: `answer` raised.
        """
        async with self._one_at_a_time:
            process = await self._start()
            try:
                future = asyncio.wrap_future(process.executor.submit(answer, question))
                reply = await asyncio.wait_for(future, ANSWER_S)
            except (BrokenProcessPool, TimeoutError) as error:
                await self.close()
                raise NoAnswer(str(error)) from error
            if not isinstance(reply, bytes):  # types do not bind a worker
                await self.close()
                raise NoAnswer("what came is not an answer")
            return reply

    async def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            await asyncio.to_thread(process.close)

    async def _start(self) -> WorkerProcess:
        if self._process is None:
            self._process = await launched(self._scratch)
        return self._process
