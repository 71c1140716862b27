"""The engine of many machines: slots on the workers of a Dask cluster, which come and go.

One connection is held; when it breaks, attempts that the cluster still has are taken up again, and the others are run
anew. The server decides what runs where (memory and threads of each worker are counted here, as Dask's resources count
them there) and owns every retry, so that the scheduler's own rules never start an attempt a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import msgspec

from kanad_server.engines import dask_slot, dask_worker, remote
from kanad_server.engines.base import Need, anything
from kanad_server.engines.dask_slot import DaskSlot, Pins, Place
from kanad_server.engines.slot import Gate
from kanad_server.engines.worker import Keeping
from kanad_server.errors import StartRefused
from kanad_server.wire import EngineView

log = logging.getLogger(__name__)

RETRY_S = 1.0
CONNECT_S = 10.0
REFRESH_S = 2.0
"""The scheduler says at once who comes and goes; so often it is asked besides."""
ALIVE_S = 0.1
ANSWER_S = 5.0
OFFER_S = 60.0
"""A worker that imports the solvers from a cold shared disk takes its time."""
CLOSE_S = 3.0
MAX_NOTES = 20


class DaskEngine:
    """Slots of the cluster at `address` (``tcp://host:port``). `warm` connects, and stays connected."""

    def __init__(
        self,
        address: str,
        server_id: str,
        gate: Gate,
        keeping: Keeping,
        *,
        security: Any = None,
        directory: str | None = None,
        takes: Callable[[Need], bool] = anything,
    ) -> None:
        self._address, self._gate, self._keeping, self._security = address, gate, keeping, security
        self.client: Any = None
        self.prefix = f"kanad-{server_id}-"
        self.pins = Pins(self.prefix)
        self.directory = directory
        self.takes = takes
        self._places: dict[str, Place] = {}
        self._slots: dict[str, list[DaskSlot]] = {}
        self._refused: dict[str, str] = {}
        self._known: dict[str, str] = {}
        """Who was there at the last look: a worker that has come to the address of another has another directory."""
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._trouble = "the scheduler has not answered yet"
        self._refresh = asyncio.Event()
        self._changed = asyncio.Event()

    # What dispatch asks

    @property
    def slots(self) -> Sequence[DaskSlot]:
        """The slots that can run attempts now, and those that do."""
        return [slot for slots in self._slots.values() for slot in slots if self.client is not None or slot.is_busy]

    async def changed(self) -> None:
        """Wait until slots have come or gone."""
        await self._changed.wait()
        self._changed.clear()

    def view(self) -> Sequence[EngineView]:
        """The cluster as it is now."""
        silent = dict.fromkeys(self._asked, "it has not said yet what it has")
        notes = [f"worker {address}: {reason}" for address, reason in (self._refused | silent).items()][:MAX_NOTES]
        if self._trouble:
            notes.insert(0, f"{self._address}: {self._trouble}")
        elif not self._places:
            notes.insert(0, f"no workers: start some with dask worker {self._address}")
        state = "down" if self._trouble else "up"
        return [EngineView(name="dask", state=state, slots=len(self.slots), notes=tuple(notes))]  # type: ignore[arg-type]  # one of two words

    def misfit(self, need: Need) -> str | None:
        """Why no worker that there is could ever take such work."""
        places = self._places.values()
        if not places or not self.takes(need):
            return None
        if any(need.memory_mb <= place.memory_mb and need.threads <= place.threads for place in places):
            return None
        memory_mb, threads = max(place.memory_mb for place in places), max(place.threads for place in places)
        return (
            f"no worker of the cluster has memory_mb = {need.memory_mb} and threads = {need.threads} together; the most"
            f" are {memory_mb} MB and {threads} threads: ask for less, or start a larger worker, for which this waits"
        )

    # The connection

    async def __aenter__(self) -> Self:
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise StartRefused(
                "invalid_settings", "engine dask needs the extra: pip install 'kanad-server[dask]'"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def warm(self) -> None:
        """Connect, and connect again when the connection breaks, until cancelled."""
        from distributed import Client

        while True:
            client = None
            try:
                client = Client(  # type: ignore[no-untyped-call]  # half typed
                    self._address, asynchronous=True, set_as_default=False, timeout=CONNECT_S, security=self._security
                )
                async with asyncio.timeout(CONNECT_S + RETRY_S):
                    await client
                await self._stay(client)
                self._say("the connection to the scheduler broke")
            except asyncio.CancelledError:
                await self._farewell()
                raise
            except Exception as error:  # of many kinds, from refused connections to unknown protocols
                self._say(f"{type(error).__name__}: {error}"[:500])
            finally:
                await self._leave(client)
            await asyncio.sleep(RETRY_S)

    async def _farewell(self) -> None:
        """The server goes down: what it has in the cluster ends first, for it is run again at the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S / 3):
                while any(slot.is_busy for slot in self._every_slot()):
                    await asyncio.sleep(0.01)
        await dask_slot.settle()

    async def _leave(self, client: Any) -> None:
        self.client = None
        self._changed.set()
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await client.close()

    async def _stay(self, client: Any) -> None:
        """Serve with this connection; returns when it has broken."""
        comm = client.scheduler_comm

        def is_alive() -> bool:
            return client.status == "running" and client.scheduler_comm is comm and not comm.closed()

        client.subscribe_topic("all", self._hear_of_workers)
        for slot in self._every_slot():
            client.subscribe_topic(slot.topic, slot.take_in)
        log.info("connected to the cluster", extra={"address": self._address})
        try:
            while is_alive():
                self._refresh.clear()
                try:
                    await self._look(client)
                    if self.client is None:
                        self.client = client  # not before it is known which workers are left
                        self._changed.set()
                        for slot in self._every_slot():
                            slot.rehand()
                        await self._drop_orphans(client)
                    self._say("")
                except TimeoutError:
                    self._say("the scheduler does not answer")
                await self._until_due(is_alive)
        finally:
            for asking in self._asked.values():
                asking.cancel()
            await asyncio.gather(*self._asked.values(), return_exceptions=True)
            for slot in self._every_slot():
                slot.unhand()

    async def _until_due(self, is_alive: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + REFRESH_S
        while is_alive() and not self._refresh.is_set() and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_S):
                    await self._refresh.wait()

    def _hear_of_workers(self, event: tuple[float, Any]) -> None:
        said = event[1]
        if isinstance(said, dict) and said.get("action") in ("add-worker", "remove-worker"):
            self._refresh.set()

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("the cluster is down", extra={"address": self._address, "cause": trouble})
            else:
                log.info("the cluster is up", extra={"address": self._address})

    # The workers

    async def _look(self, client: Any) -> None:
        """See who is there, and take up attempts of which nobody would tell the end."""
        async with asyncio.timeout(ANSWER_S):
            identity = await client.scheduler.identity(n_workers=-1)
        workers = identity["workers"]
        directories = {address: str(worker["local_directory"]) for address, worker in workers.items()}
        if any(slot.is_adrift for slot in self._every_slot()):
            async with asyncio.timeout(ANSWER_S):
                await self._take_up(client)
        for address in [address for address, known in self._known.items() if directories.get(address) != known]:
            self._remove(address)
        self._known = directories
        for address in workers.keys() - self._places.keys() - self._refused.keys() - self._asked.keys():
            asking = self._ask(client, address, str(workers[address].get("name", address)))
            self._asked[address] = asyncio.create_task(asking, name=f"ask-{address}")
            self._asked[address].add_done_callback(partial(self._has_answered, address))

    async def _ask(self, client: Any, address: str, name: str) -> None:
        """Let a new worker say what it has. One that does not answer keeps nobody else waiting; it is asked again."""
        try:
            async with asyncio.timeout(OFFER_S):
                replies = await client.run(dask_worker.offer, workers=[address], on_error="return")
            for reply in replies.values():
                self._add(client, address, name, reply)
        except Exception as error:  # of many kinds: it has gone, the connection breaks, or nothing comes
            log.warning(
                "a worker does not answer", extra={"worker": address, "cause": f"{type(error).__name__}: {error}"}
            )

    def _has_answered(self, address: str, _: object) -> None:
        del self._asked[address]

    def _add(self, client: Any, address: str, name: str, reply: object) -> None:
        """A worker has come, with its slots or with a reason why it has none."""
        refusal = None
        try:
            if not isinstance(reply, bytes):
                raise TypeError(f"{type(reply).__name__}: {reply}"[:300])
            described = remote.decode_description(reply)
            refusal = "; ".join([*described.faults, *different(described.versions, dask_worker.examine())])
        except (TypeError, msgspec.MsgspecError) as error:
            refusal = f"it cannot run attempts ({error}); install kanad-server[dask] there as here"
        if refusal:
            log.error("a worker of the cluster is refused", extra={"worker": address, "cause": refusal})
            self._refused[address] = refusal
            return
        if described.local_directory != self._known.get(address):
            return  # it has gone, and another one has its address; that one will be asked
        place = Place(address, name, described.local_directory, described.memory_mb, described.threads)
        slots = [
            DaskSlot(self, place, number, topic, self._gate, self._keeping)
            for number, topic in enumerate(self._free_topics(described.slots))
        ]
        self._places[address] = place
        for slot in slots:
            client.subscribe_topic(slot.topic, slot.take_in)
        self._slots[address] = slots
        self._changed.set()

    def _free_topics(self, count: int) -> list[str]:
        """Names used again and again: the scheduler keeps each that it has ever heard, with its last batches."""
        taken = {slot.topic for slot in self._every_slot()}
        names = (f"{self.prefix}{number}" for number in itertools.count())
        return list(itertools.islice((name for name in names if name not in taken), count))

    def _remove(self, address: str) -> None:
        """The worker that had this address has gone."""
        self._refused.pop(address, None)
        if address in self._asked:
            self._asked[address].cancel()
        if address not in self._places:
            return
        self._places.pop(address).is_there = False
        for slot in self._slots.pop(address):
            slot.lose(f"the worker {address} of the cluster has gone")
        self._changed.set()

    def _every_slot(self) -> list[DaskSlot]:
        return [slot for slots in self._slots.values() for slot in slots]

    # What the cluster has

    async def _drop_orphans(self, client: Any) -> None:
        """Let the cluster forget what belongs to this server and to no attempt of it."""
        async with asyncio.timeout(ANSWER_S):
            names = await client.list_datasets()
        for name in names:
            is_known = any(slot.is_busy and slot.pin == name for slot in self._every_slot())
            if isinstance(name, str) and name.startswith(self.prefix) and not is_known:
                async with asyncio.timeout(ANSWER_S):
                    await client.unpublish_dataset(name)

    async def _take_up(self, client: Any) -> None:
        """Attempts that the cluster still has go on; the others are run again."""
        pinned = set(await client.list_datasets())
        for slot in self._every_slot():
            if slot.is_adrift:
                if slot.pin in pinned:
                    slot.reattach(client)
                else:
                    slot.interrupt("the cluster lost the attempt with its scheduler")


def different(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """What is installed there and here in different versions."""
    return [
        f"{name} is {theirs.get(name, 'missing')} there and {version} here: install the same"
        for name, version in ours.items()
        if theirs.get(name) != version
    ]
