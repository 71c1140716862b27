"""A TCP proxy on the loopback that can cut what goes through it: in silence, or by breaking every connection."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to a port of the loopback, in a thread of its own."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def cut(self, seconds: float, *, is_silent: bool) -> None:
        """From now on for so long nothing goes through; connections hang, or are broken and refused."""
        self._loop.call_soon_threadsafe(self._cut, seconds, is_silent)

    def mend(self) -> None:
        """From now on everything goes through again."""
        self._loop.call_soon_threadsafe(self._mend)

    def _cut(self, seconds: float, is_silent: bool) -> None:
        self._flows.clear()
        if not is_silent:
            self._is_open = False
            for writer in self._writers:
                writer.transport.abort()
        self._loop.call_later(seconds, self._mend)

    def _mend(self) -> None:
        self._is_open = True
        self._flows.set()

    async def _listen(self) -> None:
        self._flows.set()
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.transport.abort()
            return
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, onward}
        await asyncio.gather(self._pass(reader, onward), self._pass(onward_reader, writer))
        self._writers -= {writer, onward}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * 1024):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
