"""One slot of a cluster: a thread of one Dask worker, as the server sees it.

An attempt is a task bound to that worker, and pinned (a published dataset), so that it outlives a broken connection.
Its messages have numbers: what comes twice is skipped, what is missing is read from the scheduler's log of events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never

import msgspec

from kanad_server import files
from kanad_server.engines import dask_worker, messages, remote, verdicts
from kanad_server.engines.base import Cancelled, Failed, Interrupted, Job, Lost, Need, Verdict
from kanad_server.engines.slot import Gate
from kanad_server.engines.worker import Keeping
from kanad_server.wire import Error, Reported, SlotView

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 16 * 1024 * 1024
"""Messages that wait until the journal has room. What is above is dropped here, and read again later."""
GONE_S = 1.5
"""For the worker to say that a cancelled attempt is over; the promise is 2 s."""
SETTLE_S = 1.0
"""For messages to arrive that came before the end; then the log of events is asked for them."""
STRIKES = 3
"""How often the log of events is asked for messages that do not come."""
LOST_MESSAGES = "messages of the attempt were lost between the cluster and the server"


class Place:
    """One worker of the cluster: what it has, and what of it is claimed."""

    def __init__(self, address: str, name: str, local_directory: str, memory_mb: int, threads: int) -> None:
        self.address, self.name, self.local_directory = address, name, local_directory
        self.memory_mb, self.threads = memory_mb, threads
        self.free_mb, self.free_threads = memory_mb, threads
        self.is_there = True


class Pins:
    """Names to publish attempts by, used again and again: the scheduler keeps something of each that it has heard."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}{uuid.uuid4().hex[:8]}-"
        """Of this process: what another one has left behind in the cluster may have its names for a while."""
        self._count = 0
        self._free: list[str] = []

    def take(self) -> str:
        """One that nothing in the cluster has."""
        if self._free:
            return self._free.pop()
        self._count += 1
        return f"{self._prefix}{self._count}"

    def give_back(self, name: str) -> None:
        """The cluster has confirmed that nothing has it any more."""
        self._free.append(name)


class Cluster(Protocol):
    """What a slot needs of its engine."""

    client: Any
    """The connected `distributed.Client`; None while there is none."""
    prefix: str
    """Begins the names of everything that this server has in the cluster."""
    pins: Pins
    directory: str | None

    def takes(self, need: Need) -> bool:
        """Whether such work is for the cluster."""


class DaskSlot:
    """A `Slot` on a worker of the cluster."""

    def __init__(self, cluster: Cluster, place: Place, number: int, topic: str, gate: Gate, keeping: Keeping) -> None:
        self._cluster, self.place, self.topic, self._gate, self._keeping = cluster, place, topic, gate, keeping
        self.name = f"{place.name}-{number}"
        self._claimed: Need | None = None
        self._job: Job | None = None
        self._run = ""
        self._future: Any = None
        self._fetching: asyncio.Task[bytes | None] | None = None
        self._pin = ""
        self._pinning: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._held: deque[remote.Batch] = deque()
        self._held_bytes = 0
        self._heard = 0
        self._has_gap = self._is_cancelled = self._is_over = False
        self._end: Verdict | None = None
        self._usage: tuple[int | None, float | None, float | None] = (None, None, None)

    # What dispatch asks

    def claim(self, need: Need) -> bool:
        """Take the memory and the threads of the worker, if they are free."""
        place = self.place
        fits = need.memory_mb <= place.free_mb and need.threads <= place.free_threads
        if self._claimed or self._cluster.client is None or not (place.is_there and fits and self._cluster.takes(need)):
            return False
        self._claimed = need
        place.free_mb -= need.memory_mb
        place.free_threads -= need.threads
        return True

    def release(self) -> None:
        """Give them back."""
        if self._claimed is not None:
            self.place.free_mb += self._claimed.memory_mb
            self.place.free_threads += self._claimed.threads
            self._claimed = None

    async def run(self, job: Job, hear: Callable[[Reported], None]) -> Verdict:
        """Run `job` on the worker; `hear` gets every report in order, and none after this has returned."""
        self._job, self._run = job, f"{self._cluster.prefix}{job.experiment_id}-{job.attempt}-{uuid.uuid4().hex[:8]}"
        self._heard, self._held_bytes = 0, 0
        self._has_gap = self._is_cancelled = self._is_over = False
        self._end = None
        self._held.clear()
        self._wake.set()
        try:
            self._submit(job)
            return await self._follow(hear)
        finally:
            self._job = None
            self._usage = (None, None, None)
            self._let_go()
            self.release()

    def cancel(self) -> None:
        """Let the worker end the attempt; without it, or without the scheduler, it counts as ended here."""
        if self._job is not None and not self._is_cancelled:
            self._is_cancelled = True
            self._forget_task()
            asyncio.get_running_loop().call_later(GONE_S, self._give_up_waiting, self._run)
            self._wake.set()

    def view(self) -> SlotView:
        """The slot as it is now; the pid is one of the worker's machine."""
        pid, cpu_s, memory_mb = self._usage
        state: Literal["idle", "running", "stopping"] = "idle"
        if self._job is not None:
            state = "stopping" if self._is_cancelled else "running"
        return SlotView(
            name=self.name,
            state=state,
            experiment_id=None if self._job is None else self._job.experiment_id,
            pid=pid,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
        )

    # What the engine tells

    @property
    def is_busy(self) -> bool:
        """Whether an attempt runs here."""
        return self._job is not None

    @property
    def is_adrift(self) -> bool:
        """Whether an attempt runs here of which nobody would tell the end."""
        fetching = self._fetching
        if self._job is None or self._is_cancelled or fetching is None or not fetching.done():
            return False
        return fetching.cancelled() or (fetching.exception() is None and fetching.result() is None)

    @property
    def pin(self) -> str:
        """The name that the running attempt is published by."""
        return self._pin

    def take_in(self, event: tuple[float, object]) -> None:
        """A batch has come. What is no batch of the present run is dropped."""
        body = event[1]
        if self._job is None or not isinstance(body, bytes) or len(body) > 2 * remote.MAX_MESSAGE_BYTES:
            return
        try:
            batch = remote.decode_batch(body)
        except msgspec.MsgspecError as error:
            log.warning("a batch that is none", extra={"slot": self.name, "cause": str(error)})
            return
        if batch.run != self._run:
            return
        if batch.pid is not None:
            self._usage = (batch.pid, batch.cpu_s, batch.memory_mb)
        self._is_over |= batch.is_over
        if self._held_bytes + len(body) > MAX_HELD_BYTES and self._held:
            self._has_gap = True
        elif batch.messages:
            self._held.append(batch)
            self._held_bytes += len(body)
        self._wake.set()

    def lose(self, message: str) -> None:
        """The worker has gone."""
        self._conclude(Lost(Error(code="worker_lost", message=message)))

    def interrupt(self, reason: str) -> None:
        """The cluster knows nothing of the attempt any more."""
        self._conclude(Interrupted(reason))

    def unhand(self) -> None:
        """The connection has broken: what was known of the attempt's end is void."""
        if self._job is not None and self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
        if self._is_cancelled:
            self._is_over = True
        self._wake.set()

    def rehand(self) -> None:
        """The connection is back: what did not come can be read."""
        self._wake.set()

    def reattach(self, client: Any) -> None:
        """The connection is back, and the cluster still has the attempt."""
        from distributed import Future

        self._has_gap = True  # what came meanwhile is in the scheduler's log
        self._watch(Future(self._run, client))
        # A future that is made anew tells the scheduler nothing by itself.
        client._send_to_scheduler({"op": "client-desires-keys", "keys": [self._run], "client": client.id})
        self._wake.set()

    # The attempt

    def _submit(self, job: Job) -> None:
        client = self._cluster.client
        if client is None or not self.place.is_there:
            self.interrupt("the cluster went away before the attempt began")
            return
        limits = job.spec.limits
        order = remote.Order(
            run=self._run,
            topic=self.topic,
            experiment_id=job.experiment_id,
            attempt=job.attempt,
            spec=job.spec,
            directory=self._cluster.directory,
            checkpoint_s=self._keeping.checkpoint_s,
            local_directory=self.place.local_directory,
        )
        try:
            future = client.submit(
                dask_worker.run,
                remote.encode(order),
                key=self._run,
                pure=False,
                workers=[self.place.address],
                allow_other_workers=False,
                resources={dask_worker.MEMORY: limits.memory_mb, dask_worker.THREADS: limits.threads},
            )
        except Exception as error:  # of many kinds: the client has given up its connection, and the engine not yet
            self.interrupt(f"the cluster went away before the attempt began: {type(error).__name__}")
            return
        self._watch(future)
        self._pin = self._cluster.pins.take()
        self._pinning = self._beside(client.publish_dataset(future, name=self._pin), "pin")

    def _watch(self, future: Any) -> None:
        self._future = future
        if self._fetching is not None:
            self._fetching.cancel()
        self._fetching = asyncio.create_task(_fetched(future), name=f"fetch-{self.name}")
        self._fetching.add_done_callback(lambda _: self._wake.set())

    async def _follow(self, hear: Callable[[Reported], None]) -> Verdict:
        """Take in what comes, until the attempt has ended one way or another."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._drain(hear)
                if self._end is not None:
                    return self._end
                if self._is_cancelled:
                    if self._is_over or self._cluster.client is None:
                        return Cancelled()
                    continue
                ended = await self._ended(hear)
            except msgspec.MsgspecError as error:
                log.error("a worker broke the protocol", extra={"slot": self.name, "cause": str(error)})
                return verdicts.BROKEN_PROTOCOL
            if ended is not None:
                return ended

    async def _drain(self, hear: Callable[[Reported], None]) -> None:
        """Tell what is held, as the journal has room; then look for what is missing."""
        while self._held:
            if not self._gate.has_room:
                await self._gate.room()
            batch = self._held.popleft()
            self._held_bytes -= sum(map(len, batch.messages))
            self._tell(batch, hear)
        self._held_bytes = 0
        if self._has_gap and self._cluster.client is not None and not self._is_cancelled:
            await self._replay(hear)

    def _tell(self, batch: remote.Batch, hear: Callable[[Reported], None]) -> None:
        for number, body in enumerate(batch.messages, batch.first):
            if number <= self._heard:
                continue
            if number > self._heard + 1:
                self._has_gap = True
                return
            self._heard = number
            match messages.decode(body):
                case messages.Report(progress=progress):
                    hear(progress)
                case messages.Trouble(text=text):
                    log.error("solver raised", extra={"slot": self.name, "cause": text})
                case messages.Completed() | messages.Failed() | messages.Cancelled():
                    raise msgspec.ValidationError("an end marker among the reports")
                case unknown:
                    assert_never(unknown)

    async def _replay(self, hear: Callable[[Reported], None]) -> None:
        """Read the scheduler's log of events for what did not come."""
        self._has_gap = False
        try:
            events = await self._cluster.client.get_events(self.topic)
        except Exception as error:  # of many kinds; the connection will be made anew
            log.warning("the log of events cannot be read", extra={"slot": self.name, "cause": str(error)})
            self._has_gap = True
            return
        for event in events:
            body = event[1]
            batch = remote.decode_batch(body) if isinstance(body, bytes) else None
            if batch is not None and batch.run == self._run:
                self._is_over |= batch.is_over
                self._tell(batch, hear)
        if self._has_gap:
            self._has_gap = False
            self.interrupt(LOST_MESSAGES)
            self._wake.set()

    async def _ended(self, hear: Callable[[Reported], None]) -> Verdict | None:
        """The verdict, when the task has ended and everything that came before has been told."""
        fetching = self._fetching
        if fetching is None or not fetching.done():
            return None
        error = fetching.exception() if not fetching.cancelled() else None
        if error is not None:
            return Lost(Error(code="worker_lost", message=f"the cluster lost the attempt: {type(error).__name__}"))
        body = None if fetching.cancelled() else fetching.result()
        if body is None:
            return None  # cancelled here or by a broken connection; the engine finds out which
        ended = remote.decode_ended(body)
        if ended.run != self._run:
            return verdicts.BROKEN_PROTOCOL
        for _ in range(STRIKES):
            if self._heard >= ended.count:
                return await self._verdict_of(ended)
            await self._wait_for_more()
            await self._drain(hear)
            self._has_gap |= self._heard < ended.count
        if self._cluster.client is not None:
            self.interrupt(LOST_MESSAGES)
        return self._end

    async def _wait_for_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._wake.wait()
        self._wake.clear()

    async def _verdict_of(self, ended: remote.Ended) -> Verdict:
        if ended.end is None:
            death = ended.death or Error(code="worker_lost", message="the worker process ended")
            return Failed(death) if death.code == "bad_result" else Lost(death)
        end = messages.decode(ended.end)
        if isinstance(end, messages.Report | messages.Trouble):
            return verdicts.BROKEN_PROTOCOL
        if ended.orbitals is not None and self._job is not None:
            path = files.orbitals(Path(self._keeping.directory), self._job.experiment_id)
            await asyncio.to_thread(_keep, path, ended.orbitals)
        return verdicts.of(end)[0]

    # The end

    def _conclude(self, verdict: Verdict) -> None:
        if self._job is not None and self._end is None:
            self._end = verdict
            self._wake.set()

    def _give_up_waiting(self, run: str) -> None:
        if run == self._run:
            self._is_over = True
            self._wake.set()

    def _let_go(self) -> None:
        """Nothing of the attempt stays in the cluster."""
        self._forget_task()
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None
        self._future = self._pinning = None
        self._pin = ""

    def _forget_task(self) -> None:
        client = self._cluster.client
        if client is not None and self._future is not None:
            future, self._future = self._future, None
            pin, self._pin = self._pin, ""
            self._beside(self._forgotten(client, future, pin, self._pinning), "forget")

    async def _forgotten(self, client: Any, future: Any, pin: str, pinning: asyncio.Task[None] | None) -> None:
        if future.status == "finished":
            future.release()
        else:
            await client.cancel([future], force=True)  # which the scheduler logs, two lines each
        if pinning is not None:
            await asyncio.wait([pinning])  # what is published later would stay for ever
        await client.unpublish_dataset(pin)
        self._cluster.pins.give_back(pin)

    def _beside(self, work: Any, name: str) -> asyncio.Task[None]:
        """Something that the cluster is told beside the attempt; when it fails, the next connection sets it right."""
        _told.add(task := asyncio.create_task(_quietly(work), name=f"{name}-{self.name}"))
        task.add_done_callback(_told.discard)
        return task


_told: set[asyncio.Task[None]] = set()
"""Keeps the tasks that nobody waits for."""


async def settle() -> None:
    """Wait, for a moment, until the cluster has been told everything."""
    if _told:
        await asyncio.wait(_told, timeout=SETTLE_S)


async def _quietly(work: Any) -> None:
    try:
        await work
    except Exception as error:  # of many kinds: the connection is gone, or the cluster has forgotten
        log.debug("the cluster was not told", extra={"cause": str(error)})


async def _fetched(future: Any) -> bytes | None:
    """What the task returned; None where the future was cancelled, or the connection broke.

    Raises:
        TypeError: it is not bytes.
    """
    try:
        body = await future
    except (FutureCancelled, OSError):
        return None
    if not isinstance(body, bytes):
        raise TypeError("what came is not bytes")
    return body


def _keep(path: Path, orbitals: bytes) -> None:
    """A full disk costs the files that are made of them, never the result."""
    with contextlib.suppress(OSError):
        beside = path.with_suffix(".new")
        beside.write_bytes(orbitals)
        beside.replace(path)
