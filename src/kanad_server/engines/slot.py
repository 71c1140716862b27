"""One slot: a process pool of one, a single-writer pipe and a cancel flag, thrown away together.

The loop reads the pipe itself (no thread hop), in batches. The end of an attempt is its end marker, so that no event
arrives after the verdict; the pipe of a worker that died is drained to its end before the attempt counts as lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Literal, Protocol, Self, assert_never

import msgspec

from kanad_server.engines import frames, messages, versions, worker
from kanad_server.engines.base import Cancelled, Completed, Failed, Job, Lost, Verdict
from kanad_server.engines.process import WORN_MB, WorkerProcess, launched, usage
from kanad_server.wire import Error, Reported, SlotView
from kanad_solvers.result import Result

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CANCEL_GRACE_S = 0.5
"""From the cancel flag to SIGTERM: picked so that a callback of a small solver still sees the flag."""
TERM_GRACE_S = 0.25
"""From SIGTERM to SIGKILL. Python code in a worker does not handle SIGTERM, so waiting longer buys nothing."""

_encode_spec = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(Result).decode


class Gate(Protocol):
    """Says when reports may be taken in; the journal is one."""

    @property
    def has_room(self) -> bool:
        """Whether there is room for more events now."""

    async def room(self) -> None:
        """Wait until there is room for more events."""


class ProcessSlot:
    """A `Slot` whose attempts run in a process of its own. A process that dies is replaced at the next attempt."""

    def __init__(self, name: str, scratch: Path, gate: Gate, keeping: worker.Keeping) -> None:
        self._name = name
        self._scratch = scratch
        self._gate = gate
        self._keeping = keeping
        self._process: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._submitted: Future[None] | None = None
        self._job: Job | None = None
        self._is_cancelled = False
        self._escalation: list[asyncio.TimerHandle] = []
        self._may_be_worn = False

    async def start(self) -> None:
        """Make the process, if there is none; afterwards the slot is warm."""
        async with self._starting:
            if self._process is None:
                self._process = await launched(self._scratch)

    async def close(self) -> None:
        """End the process; a running attempt is over."""
        if self._process is not None:
            process, self._process = self._process, None
            await asyncio.to_thread(process.close)

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Run `job`; `hear` gets every report in order, and none after this has returned."""
        self._job = job
        self._is_cancelled = False
        try:
            process = await self._submit(job)
            if self._is_cancelled:
                self._signal_cancel(process)
            return await self._listen(process, hear)
        finally:
            self._job = None
            for timer in self._escalation:
                timer.cancel()
            self._escalation.clear()

    def cancel(self) -> None:
        """Raise the flag; SIGTERM and SIGKILL follow soon if the attempt does not end."""
        if self._job is not None and not self._is_cancelled:
            self._is_cancelled = True
            if self._process is not None:
                self._signal_cancel(self._process)

    def view(self) -> SlotView:
        """The slot as it is now."""
        pid = None if self._process is None else self._process.pid
        cpu_s, memory_mb = (None, None) if pid is None else usage(pid)
        return SlotView(
            name=self._name,
            state=self._state(),
            experiment_id=None if self._job is None else self._job.experiment_id,
            pid=pid,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
        )

    def _state(self) -> Literal["starting", "idle", "running", "stopping"]:
        if self._job is not None:
            return "stopping" if self._is_cancelled else "running"
        return "starting" if self._process is None else "idle"

    def _signal_cancel(self, process: WorkerProcess) -> None:
        process.cancel_flag.value = 1
        loop = asyncio.get_running_loop()
        self._escalation = [
            loop.call_later(CANCEL_GRACE_S, process.signal, signal.SIGTERM),
            loop.call_later(CANCEL_GRACE_S + TERM_GRACE_S, process.signal, signal.SIGKILL),
        ]

    async def _submit(self, job: Job) -> WorkerProcess:
        """Hand the job to a living process: the present one, or a new one where that has died while idle."""
        if self._submitted is not None:
            with contextlib.suppress(BrokenProcessPool):
                await asyncio.wrap_future(self._submitted)
            self._submitted = None
        if self._may_be_worn and self._process is not None and self._process.is_worn():
            await self.close()
        self._may_be_worn = True  # until a result says how little it took
        for _ in range(2):
            await self.start()
            process = self._process
            assert process is not None
            process.cancel_flag.value = 0
            try:
                self._submitted = process.executor.submit(
                    worker.run, _encode_spec(job.spec), job.experiment_id, job.attempt, self._keeping
                )
            except BrokenProcessPool:
                await self.close()
            else:
                return process
        raise BrokenProcessPool("a new worker process died before its first attempt")

    async def _listen(self, process: WorkerProcess, hear: Callable[[Reported], None]) -> Verdict:
        """Take in what the process says, to the end marker, or to its death."""
        assembler = frames.Assembler(MAX_MESSAGE_BYTES)
        with _Inlet(process.reader.fileno()) as inlet:
            while True:
                data = await inlet.read()
                if not data:
                    break
                try:
                    for message in map(messages.decode, assembler.feed(data)):
                        verdict = self._take(message, hear)
                        if verdict is not None:
                            return verdict
                except (frames.BrokenFrame, msgspec.MsgspecError) as error:
                    log.error("worker broke the protocol", extra={"slot": self._name, "cause": str(error)})
                    await self.close()
                    message = "the worker sent something that is not a valid message"
                    return Failed(Error(code="bad_result", message=message))
                if not self._gate.has_room:
                    inlet.pause()
                    await self._gate.room()
                    inlet.resume()
        return await self._bury(process)

    def _take(self, message: messages.Message, hear: Callable[[Reported], None]) -> Verdict | None:
        match message:
            case messages.Report(progress=progress):
                hear(progress)
                return None
            case messages.Trouble(text=text):
                log.error("solver raised", extra={"slot": self._name, "cause": text})
                return None
            case messages.Completed(energy_hartree=energy, result=result):
                found = _decode_result(result)  # a result that does not fit its type is refused here
                self._may_be_worn = found.provenance is None or found.provenance.peak_rss_mb > WORN_MB
                return Completed(energy, bytes(result), versions.made_with(found))
            case messages.Failed(error=error):
                return Failed(error)
            case messages.Cancelled():
                return Cancelled()
            case _:
                assert_never(message)

    async def _bury(self, process: WorkerProcess) -> Verdict:
        """The process is gone: tell how, and make room for the next one."""
        self._process = self._submitted = None
        exit_code = await asyncio.to_thread(process.close)
        if self._is_cancelled:
            return Cancelled()
        return Lost(_death(exit_code))


class _Inlet:
    """The reading end of a pipe, read by the loop as data comes; entered for one attempt.

    The loop's reader stays registered between reads: to register it for each of them costs more than the read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._some = asyncio.Event()

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    async def read(self) -> bytes:
        """The next data; empty once every writer has gone."""
        await self._some.wait()
        data = self._arrived.popleft()
        if not self._arrived:
            self._some.clear()
        return data

    def pause(self) -> None:
        """Leave what comes in the pipe, which then fills and holds the writer back."""
        self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Read again."""
        self._loop.add_reader(self._descriptor, self._pull)

    def _pull(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        self._arrived.append(data)
        self._some.set()
        if not data:
            self.pause()  # the end of a file stays readable


def _death(exit_code: int | None) -> Error:
    """`worker_lost` for a process that somebody killed, `worker_crashed` for one that fell."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        code = "worker_lost" if -exit_code in (signal.SIGKILL, signal.SIGTERM) else "worker_crashed"
        return Error(code=code, message=f"the worker process ended by {name}", details={"exit_signal": name})
    return Error(
        code="worker_crashed",
        message=f"the worker process ended with exit code {exit_code}",
        details={"exit_code": exit_code},
    )
