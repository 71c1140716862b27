"""One slot: a process pool of one, a single-writer pipe and a cancel flag, thrown away together.

The loop reads the pipe itself (no thread hop), in batches. The end of an attempt is its end marker, so that no event
arrives after the verdict; the pipe of a worker that died is drained to its end before the attempt counts as lost.

A worker is not trusted: nothing that it sends is more than data, and one that does not keep to the rules (it sends what
is no message, or goes on after its end marker, or ends without one) is replaced.
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
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, Self, assert_never

import msgspec

from kanad_server.engines import frames, messages, verdicts, worker
from kanad_server.engines.base import Cancelled, Failed, Job, Lost, Need, Verdict, anything
from kanad_server.engines.outcomes import RaisedInWorker
from kanad_server.engines.process import WORN_MB, WorkerProcess, cores, launched, usage
from kanad_server.wire import Error, Reported, SlotView

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CANCEL_GRACE_S = 0.5
"""From the cancel flag to SIGTERM: picked so that a callback of a small solver still sees the flag."""
TERM_GRACE_S = 0.25
"""From SIGTERM to SIGKILL. Python code in a worker does not handle SIGTERM, so waiting longer buys nothing."""
RETURN_S = 5.0
"""Between the end marker and the return of the worker's function, in any order; after it the worker is replaced."""
WEIGH_S = 0.25
"""How often it is looked whether an attempt holds more memory than it was granted."""
MAX_LEFT_BYTES = 1024 * 1024
"""What is read of a dead worker's pipe, the largest that a pipe is by default allowed to be."""

_encode_spec = msgspec.json.Encoder().encode


class Gate(Protocol):
    """Says when reports may be taken in; the journal is one."""

    @property
    def has_room(self) -> bool:
        """Whether there is room for more events now."""

    async def room(self) -> None:
        """Wait until there is room for more events."""


class ProcessSlot:
    """A `Slot` whose attempts run in a process of its own. A process that dies is replaced at the next attempt."""

    def __init__(
        self, name: str, scratch: Path, gate: Gate, keeping: worker.Keeping, takes: Callable[[Need], bool] = anything
    ) -> None:
        self._name = name
        self._takes = takes
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
        self._broke_rules = False
        self._weighing: asyncio.TimerHandle | None = None
        self._is_too_heavy = False

    async def start(self) -> None:
        """Make the process, if there is none; afterwards the slot is warm."""
        async with self._starting:
            if self._process is None:
                self._process = await launched(self._scratch)

    async def revive(self) -> None:
        """Replace a process that has died while idle, so that the next attempt finds one."""
        if self._job is None and (self._process is None or self._is_dead()):
            log.warning("an idle worker has died; starting another", extra={"slot": self._name})
            await self.close()  # which lets go of the process before anything else can come between
            try:
                await self.start()
            except (OSError, EOFError, BrokenProcessPool) as error:  # no memory, no processes left: it is tried again
                log.error("no worker came up", extra={"slot": self._name, "cause": repr(error)})

    async def close(self) -> None:
        """End the process; a running attempt is over."""
        if self._process is not None:
            process, self._process = self._process, None
            self._broke_rules = False
            await asyncio.to_thread(process.close)

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Run `job`; `hear` gets every report in order, and none after this has returned."""
        self._job = job
        self._is_cancelled = self._is_too_heavy = False
        try:
            process = await self._submit(job)
            self._weigh_soon(process, process.held_mb() + job.spec.limits.memory_mb)
            assert self._submitted is not None
            returned = asyncio.wrap_future(self._submitted)
            returned.add_done_callback(partial(self._has_returned, job, process))
            if self._is_cancelled:
                self._signal_cancel(process)
            return await self._listen(process, hear)
        finally:
            self._job = None
            for timer in self._escalation:
                timer.cancel()
            self._escalation.clear()
            if self._weighing is not None:
                self._weighing.cancel()

    def _weigh(self, process: WorkerProcess, bound_mb: float) -> None:
        """End a process that holds more memory than `bound_mb`, and look again soon."""
        if process.held_mb() > bound_mb:
            self._is_too_heavy = True
            process.signal(signal.SIGKILL)
        else:
            self._weigh_soon(process, bound_mb)

    def _weigh_soon(self, process: WorkerProcess, bound_mb: float) -> None:
        self._weighing = asyncio.get_running_loop().call_later(WEIGH_S, self._weigh, process, bound_mb)

    def cancel(self) -> None:
        """Raise the flag; SIGTERM and SIGKILL follow soon if the attempt does not end."""
        if self._job is not None and not self._is_cancelled:
            self._is_cancelled = True
            if self._process is not None:
                self._signal_cancel(self._process)

    def view(self) -> SlotView:
        """The slot as it is now."""
        pid = None if self._process is None or self._is_dead() else self._process.pid
        cpu_s, memory_mb = (None, None) if pid is None else usage(pid)
        return SlotView(
            name=self._name,
            state=self._state(),
            experiment_id=None if self._job is None else self._job.experiment_id,
            pid=pid,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
        )

    def claim(self, need: Need) -> bool:
        """A slot of one machine takes what the machine has the cores for; `memory_mb` is a bound, not a reservation."""
        return self._takes(need) and need.threads <= cores()

    def release(self) -> None:
        """Nothing was reserved."""

    def _state(self) -> Literal["starting", "idle", "running", "stopping"]:
        if self._job is not None:
            return "stopping" if self._is_cancelled else "running"
        return "starting" if self._process is None or self._is_dead() else "idle"

    def _about(self, **more: str) -> dict[str, str]:
        """What a line of the log is about."""
        job = {} if self._job is None else {"experiment_id": self._job.experiment_id, "attempt": str(self._job.attempt)}
        return {"slot": self._name} | job | more

    def _is_dead(self) -> bool:
        """Whether the process has died while idle; one that dies under an attempt is seen by its reader."""
        return self._job is None and self._process is not None and not self._process.is_alive()

    def _signal_cancel(self, process: WorkerProcess) -> None:
        process.cancel_flag.value = 1
        loop = asyncio.get_running_loop()
        self._escalation = [
            loop.call_later(CANCEL_GRACE_S, process.signal, signal.SIGTERM),
            loop.call_later(CANCEL_GRACE_S + TERM_GRACE_S, process.signal, signal.SIGKILL),
        ]

    async def _submit(self, job: Job) -> WorkerProcess:
        """Hand the job to a living process: the present one, or a new one where that has died while idle."""
        await self._tidy()
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

    async def _tidy(self) -> None:
        """After an attempt: let the worker come back, or put it away where it is worn or has broken the rules."""
        submitted, self._submitted = self._submitted, None
        if submitted is not None:
            with contextlib.suppress(BrokenProcessPool, RaisedInWorker):
                try:
                    await asyncio.wait_for(asyncio.wrap_future(submitted), RETURN_S)
                except TimeoutError:
                    self._broke_rules = True
        process = self._process
        if process is None:
            return
        if self._broke_rules or process.has_unread():
            log.error("worker went on after its end marker", extra={"slot": self._name})
            await self.close()
        elif self._may_be_worn and process.is_worn():
            await self.close()

    def _has_returned(self, job: Job, process: WorkerProcess, returned: asyncio.Future[None]) -> None:
        """The worker's function is over: the end marker is in the pipe, or else the worker will not send one."""
        if returned.cancelled():
            return
        failure = returned.exception()  # looked at in any case: asyncio logs those that nobody has seen
        if self._job is not job:
            return
        if isinstance(failure, RaisedInWorker):
            log.error("worker's function raised", extra=self._about(cause=str(failure)))
        delay = RETURN_S if failure is None else 0.0
        self._escalation.append(asyncio.get_running_loop().call_later(delay, process.signal, signal.SIGKILL))

    async def _listen(self, process: WorkerProcess, hear: Callable[[Reported], None]) -> Verdict:
        """Take in what the process says, to the end marker, or to its death."""
        assembler = frames.Assembler(MAX_MESSAGE_BYTES)
        with _Inlet(process) as inlet:
            while data := await inlet.read():
                try:
                    heard = deque(assembler.feed(data))
                    while heard:
                        verdict = self._take(messages.decode(heard.popleft()), hear)
                        if verdict is not None:
                            self._broke_rules = bool(heard) or not assembler.is_empty or inlet.has_more
                            return verdict
                except (frames.BrokenFrame, msgspec.MsgspecError) as error:
                    log.error("worker broke the protocol", extra=self._about(cause=str(error)))
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
                log.error("solver raised", extra=self._about(cause=text))
                return None
            case messages.Completed() | messages.Failed() | messages.Cancelled():
                verdict, peak_mb = verdicts.of(message)
                self._may_be_worn = peak_mb > WORN_MB
                return verdict
            case _:
                assert_never(message)

    async def _bury(self, process: WorkerProcess) -> Verdict:
        """The process is gone: tell how, and make room for the next one."""
        job = self._job
        self._process = self._submitted = None
        self._broke_rules = False
        exit_code = await asyncio.to_thread(process.close)
        if self._is_cancelled:
            return Cancelled()
        if self._is_too_heavy and job is not None:
            return Failed(worker.out_of_memory(job.spec.limits.memory_mb))
        return Lost(verdicts.death(exit_code))


class _Inlet:
    """The reading end of a pipe, read by the loop as data comes; entered for one attempt.

    The loop's reader stays registered between reads: to register it for each of them costs more than the read. The end
    of the file is not waited for when the process has died: a process that it has left behind could hold the pipe open.
    """

    def __init__(self, process: WorkerProcess) -> None:
        self._descriptor = process.reader.fileno()
        self._death = process.death
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._is_over = False
        self._left = MAX_LEFT_BYTES

    def __enter__(self) -> Self:
        self._loop.add_reader(self._death, self._end)
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        self._loop.remove_reader(self._death)

    @property
    def has_more(self) -> bool:
        """Whether something has come that was not read."""
        return bool(self._arrived)

    async def read(self) -> bytes:
        """The next data; empty once the process, or every writer, has gone."""
        while not self._arrived:
            if self._is_over:
                return self._rest()
            self._some.clear()
            await self._some.wait()
        return self._arrived.popleft()

    def pause(self) -> None:
        """Leave what comes in the pipe, which then fills and holds the writer back."""
        self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Read again."""
        if not self._is_over:
            self._loop.add_reader(self._descriptor, self._pull)

    def _pull(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._end()
        else:
            self._arrived.append(data)
            self._some.set()

    def _end(self) -> None:
        self._is_over = True
        self._some.set()
        self._loop.remove_reader(self._death)  # both stay readable
        self.pause()

    def _rest(self) -> bytes:
        """What is still in the pipe."""
        try:
            data = os.read(self._descriptor, min(READ_BYTES, self._left))
        except BlockingIOError:
            return b""
        self._left -= len(data)
        return data
