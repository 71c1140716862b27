"""A server for one run: with the probe, with a store that goes with it, and killed on request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kanad_server.load.errors import NotReady
from kanad_server.load.report import ServerFigures

LISTENING = "kanad-server listening on "
START_S = 60.0
STOP_S = 15.0

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class PrivateServer:
    """``kanad serve --enable-probe`` on a free port."""

    def __init__(self, folder: Path, slots: int) -> None:
        self._folder = folder
        self._slots = slots
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._figures: list[tuple[float, int, int]] = []
        self._cpu_s = 0.0
        self._last_cpu_s = 0.0
        self._began = time.perf_counter()

    async def start(self, port: int = 0) -> None:
        """Start it (again), on the same data.

        Raises:
            NotReady: it does not come up.
        """
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "kanad_server", "serve", "--host", "127.0.0.1", "--port", str(port),
                "--slots", str(self._slots), "--data-dir", str(self._folder / "data"), "--enable-probe",
                "--log-level", "warning",
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            line = ""
        if not line.startswith(LISTENING):
            raise NotReady(f"the private server did not start: {self._log()[-500:]}")
        self.url = line.removeprefix(LISTENING).strip()

    async def restart(self) -> None:
        """kill -9, then start on the same port."""
        assert self._process is not None
        self._cpu_s += self._last_cpu_s
        self._process.kill()
        await self._process.wait()
        await self.start(int(self.url.rpartition(":")[2]))

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def look(self) -> None:
        """Take down memory, descriptors, threads and CPU time."""
        assert self._process is not None
        place = Path(f"/proc/{self._process.pid}")
        with contextlib.suppress(OSError, IndexError, ValueError):  # gone, just now, or no Linux
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            self._last_cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
            self._figures.append((int(fields[21]) * _PAGE_MB, len(list((place / "fd").iterdir())), int(fields[17])))

    def begin(self) -> None:
        """The load begins: figures are counted from here."""
        self._figures.clear()
        self.look()
        self._cpu_s = -self._last_cpu_s
        self._began = time.perf_counter()

    def figures(self) -> ServerFigures | None:
        """What `look` has seen."""
        if not self._figures:
            return None
        rss, descriptors, threads = zip(*self._figures, strict=True)
        return ServerFigures(
            rss_mb=(rss[0], max(rss), rss[-1]),
            descriptors=(descriptors[0], max(descriptors), descriptors[-1]),
            threads=(threads[0], max(threads), threads[-1]),
            cpu_percent=100 * (self._cpu_s + self._last_cpu_s) / (time.perf_counter() - self._began),
        )

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


@asynccontextmanager
async def private_server(slots: int) -> AsyncIterator[PrivateServer]:
    """A server of one's own; it and its store go when the block ends."""
    with tempfile.TemporaryDirectory(prefix="kanad-load-", ignore_cleanup_errors=True) as folder:
        server = PrivateServer(Path(folder), slots)
        try:
            await server.start()
            yield server
        finally:
            await asyncio.shield(server.stop())
