"""A client process: it carries a share, and tells the conductor how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from typing import TypeAlias

import msgspec
import uvloop

from kanad_server.load.checker import Violation
from kanad_server.load.poster import Poster
from kanad_server.load.share import Carrier, Share
from kanad_server.load.tally import Snapshot, Tally

TELL_EVERY_S = 0.5


class Start(msgspec.Struct, frozen=True, tag="start"):
    """To a process: begin, and watch these experiments."""

    experiments: list[str]


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """To a process: end now."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From a process: it has loaded what it needs."""

    pid: int


class Found(msgspec.Struct, frozen=True, tag="found"):
    """From a process: a promise was broken just now."""

    violation: Violation


class News(msgspec.Struct, frozen=True, tag="news"):
    """From a process: how it goes. `cpu_s` and `wall_s` count from its start; `is_last` when it has ended."""

    snapshot: Snapshot
    cpu_s: float
    wall_s: float
    is_last: bool = False


Order: TypeAlias = Start | Stop
Word: TypeAlias = Ready | Found | News

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_word = msgspec.msgpack.Decoder(Word).decode


class _LoudTally(Tally):
    """A tally that says at once what was violated."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def found(self, violation: Violation) -> None:
        self._pipe.send_bytes(encode(Found(violation)))


def carry(share_bytes: bytes, pipe: Connection) -> None:
    """What runs in the process. Ctrl-C is the conductor's to take."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_file_limit()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    uvloop.run(_carry(msgspec.msgpack.decode(share_bytes, type=Share), pipe))


def raise_file_limit() -> int:
    """Take as many descriptors as we may; says how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _carry(share: Share, pipe: Connection) -> None:
    tally = _LoudTally(pipe)
    pipe.send_bytes(encode(Ready(os.getpid())))
    orders: asyncio.Queue[Order] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(pipe.fileno(), _take_order, pipe, orders)
    order = await orders.get()
    if isinstance(order, Stop):
        return
    begun, cpu = time.perf_counter(), time.process_time()

    def news(*, is_last: bool = False) -> None:
        spent, wall = time.process_time() - cpu, time.perf_counter() - begun
        pipe.send_bytes(encode(News(tally.snapshot(), spent, wall, is_last)))

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            news()

    async with Poster(share.address) as poster, asyncio.TaskGroup() as group:
        carrying = group.create_task(Carrier(share, tally, poster).carry(order.experiments), name="carry")
        telling = group.create_task(tell(), name="tell")
        stopping = group.create_task(orders.get(), name="stop")
        await asyncio.wait((carrying, stopping), return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        stopping.cancel()
        carrying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await carrying
    news(is_last=True)


def _take_order(pipe: Connection, orders: asyncio.Queue[Order]) -> None:
    """An order from the conductor; without a conductor there is nothing left to do."""
    try:
        orders.put_nowait(decode_order(pipe.recv_bytes()))
    except (EOFError, OSError):
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        orders.put_nowait(Stop())
