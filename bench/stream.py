"""The live stream at scale, in one run beside a plain Starlette loop and `websockets.broadcast` (`bench/rivals.py`).

Run with `python bench/stream.py [ROW...]`, or `make bench-stream`. Starts servers of its own and prints a table;
asserts nothing but that no event is lost. Delivery is measured from the solver's own callback (the probe writes its
moment into ``residual``) to the client's socket. All clients are in this process, on the machine of the server.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvloop

from kanad_server.load.line import Line, open_line

API = "/api/v1/experiments"
LISTENING = "kanad-server listening on "
MARK = b'"seq":'
"""Once in each event."""
IDLE = 1_000
CHURN = 5_000
REPLAY = 10_000
FLOOD_S = 5.0
PONG, PONG_S = b"\x8a\x80\0\0\0\0", 5.0
"""Said now and then, for who says nothing is taken for dead."""
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def row(what: str, measured: str, reach: str, met: bool) -> None:
    """One line of the table."""
    print(f"{what:58} {measured:62} {reach:18} {'met' if met else 'NOT MET'}", flush=True)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# Servers


class Ours:
    """A kanad-server of this run."""

    def __init__(self, url: str, pid: int, http: httpx.AsyncClient) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.pid = pid
        self.http = http

    async def post(self, steps: int, step_ms: float) -> str:
        """A probe; returns its id."""
        method = {"name": "probe", "steps": steps, "step_ms": step_ms}
        spec = {"molecule": {"library": "H2"}, "method": method, "limits": {"wall_s": 600, "memory_mb": 1024}}
        return str((await self.http.post(API, json=spec)).raise_for_status().json()["id"])

    async def cancel(self, experiment_id: str) -> None:
        """End a probe."""
        await self.http.post(f"{API}/{experiment_id}/cancel")
        await self.ended(experiment_id)

    async def ended(self, experiment_id: str) -> int:
        """Wait for the end; the last number."""
        while True:
            experiment = (await self.http.get(f"{API}/{experiment_id}")).json()
            if experiment["finished_at"]:
                return int(experiment["last_seq"])
            await asyncio.sleep(0.05)

    async def viewers(self) -> int:
        """How many are connected."""
        return int((await self.http.get("/api/v1/system")).json()["viewers"])

    @property
    def cpu_s(self) -> float:
        """CPU time of the server's process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_kb(self) -> float:
        """Resident memory of the server's process."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024

    @property
    def descriptors(self) -> int:
        """Open files of the server's process."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@asynccontextmanager
async def ours() -> AsyncIterator[Ours]:
    """A server with one slot, ready."""
    with tempfile.TemporaryDirectory(prefix="kanad-bench-") as folder, open(Path(folder) / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--slots", "1", "--enable-probe",
             "--data-dir", str(Path(folder) / "data"), "--log-level", "warning"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"KANAD_MAX_VIEWERS_EACH": "6000"},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix(LISTENING).strip()
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
                while (await http.get("/health/ready")).status_code != 200:
                    await asyncio.sleep(0.05)
                yield Ours(url, process.pid, http)
        finally:
            process.terminate()
            process.wait(20)
            if "Traceback" in (said := (Path(folder) / "log").read_text()):
                print(said[-2000:], file=sys.stderr)


@contextmanager
def rival(kind: str, viewers: int, rate: float, seconds: float) -> Iterator[int]:
    """A rival's process; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    script = str(Path(__file__).with_name("rivals.py"))
    process = subprocess.Popen([sys.executable, script, kind, str(port), str(viewers), str(rate), str(seconds)])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


# Viewers


class Counter(asyncio.Protocol):
    """Counts events in what comes, and does nothing else: the leanest client there can be, the same for all servers."""

    def __init__(self, port: int, path: str) -> None:
        self.events = 0
        self.began = self.last = self._ponged = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""
        self._tail = b""
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        ).encode()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            assert self._head.startswith(b"HTTP/1.1 101"), self._head
            self.opened.set_result(None)
        self.last = time.perf_counter()
        if self.last - self._ponged > PONG_S:
            self._ponged = self.last
            self.transport.write(PONG)
        found = (self._tail + data).count(MARK)
        if found and not self.events:
            self.began = self.last
        self.events += found
        self._tail = data[-len(MARK) + 1 :]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def counters(number: int, port: int, path: str) -> list[Counter]:
    """So many connected clients."""
    loop = asyncio.get_running_loop()

    async def one() -> Counter:
        _, counter = await loop.create_connection(lambda: Counter(port, path), "127.0.0.1", port)
        await counter.opened
        return counter

    return [await one() for _ in range(number)]


class Frames:
    """Decodes frames; viewers at the same place get the same bytes, which are decoded once."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[list[int], list[float]]] = {}

    def read(self, payload: bytes) -> tuple[list[int], list[float]]:
        """The numbers of a frame's events, and the moments of those that have one."""
        known = self._known.get(payload)
        if known is None:
            decoded = msgspec.json.decode(payload)
            events = decoded if isinstance(decoded, list) else [decoded]
            stamps = [event["residual"] for event in events if event.get("residual")]
            known = [event["seq"] for event in events], stamps
            if len(self._known) > 500:
                self._known.clear()
            self._known[payload] = known
        return known


class Viewer:
    """Reads every event, checks its number, and takes the time that it was on its way."""

    def __init__(self, frames: Frames) -> None:
        self.seen = 0
        self.lost = 0
        self.delays: list[float] = []
        self.connect_s = 0.0
        self._frames = frames

    async def open(self, url: str) -> Line:
        """Connect."""
        begun = time.perf_counter()
        self.line = await open_line(url, {}, self._message)
        self.connect_s = time.perf_counter() - begun
        return self.line

    def _message(self, payload: bytes) -> None:
        now = time.time()
        numbers, stamps = self._frames.read(payload)
        self.lost += numbers[0] != self.seen + 1
        self.seen = numbers[-1]
        self.delays += [now - stamp for stamp in stamps]


async def watched(url: str, number: int) -> list[Viewer]:
    """So many viewers, all connecting at once."""
    frames = Frames()
    viewers = [Viewer(frames) for _ in range(number)]
    await asyncio.gather(*(viewer.open(url) for viewer in viewers))
    return viewers


# Rows


async def paced(viewers: int, rate: float, seconds: float, reach_ms: float) -> None:
    """Delivery at a steady rate, from the solver's callback to each client."""
    async with ours() as server:
        blocker = await server.post(100_000, 20)
        experiment_id = await server.post(int(rate * seconds), 1000 / rate)
        crowd = await watched(f"{server.url.replace('http', 'ws')}{API}/{experiment_id}/stream", viewers)
        connects = [viewer.connect_s for viewer in crowd]
        before, begun = server.cpu_s, time.perf_counter()
        await server.cancel(blocker)
        codes = await asyncio.gather(*(viewer.line.closed for viewer in crowd))
        busy = (server.cpu_s - before) / (time.perf_counter() - begun)
        last = await server.ended(experiment_id)
    assert set(codes) == {1000}, set(codes)
    lost = sum(viewer.lost or viewer.seen != last for viewer in crowd)
    delays = [delay for viewer in crowd for delay in viewer.delays]
    beside = "" if viewers > 100 else f"; naive {await _rival_p99('naive', viewers, rate, seconds):.0f} ms"
    p50, p99 = 1000 * percentile(delays, 0.5), 1000 * percentile(delays, 0.99)
    row(
        f"{viewers} viewers, {rate:.0f} events/s each: callback to client",
        f"p50 {p50:.1f}, p99 {p99:.1f} ms, {lost} incomplete, server {100 * busy:.0f}% CPU{beside}",
        f"p99 <= {reach_ms:.0f} ms", p99 <= reach_ms and not lost,
    )  # fmt: skip
    p50, p99 = 1000 * percentile(connects, 0.5), 1000 * percentile(connects, 0.99)
    row(f"{viewers} viewers that connect at once", f"p50 {p50:.0f}, p99 {p99:.0f} ms to connect", "-", True)


async def _rival_p99(kind: str, viewers: int, rate: float, seconds: float) -> float:
    with rival(kind, viewers, rate, seconds) as port:
        crowd = await watched(f"ws://127.0.0.1:{port}/", viewers)
        await asyncio.gather(*(viewer.line.closed for viewer in crowd))
    return 1000 * percentile([delay for viewer in crowd for delay in viewer.delays], 0.99)


async def flood(viewers: int = 100) -> None:
    """As many events as are taken: through the whole server, and through the rivals, which only send."""
    rates = {kind: await _rival_rate(kind, viewers) for kind in ("naive", "broadcast")}
    async with ours() as server:
        blocker = await server.post(100_000, 20)
        experiment_id = await server.post(30_000, 0)
        crowd = await counters(viewers, server.port, f"{API}/{experiment_id}/stream")
        before = server.cpu_s
        await server.cancel(blocker)
        last = await server.ended(experiment_id)
        await asyncio.gather(*(counter.closed for counter in crowd))
        cpu_us = 1e6 * (server.cpu_s - before) / (last * viewers)
    assert {counter.events for counter in crowd} == {last}, {counter.events for counter in crowd}
    rate = _rate(crowd)
    row(
        f"{viewers} viewers, flood: events delivered a second",
        f"{rate:.0f}; broadcast {rates['broadcast']:.0f}, naive {rates['naive']:.0f};"
        f" {rate / rates['broadcast']:.1f} x",
        ">= 5 x broadcast", rate >= 5 * rates["broadcast"],
    )  # fmt: skip
    row("the server's CPU time for each of them", f"{cpu_us:.2f} us", "<= 12 us", cpu_us <= 12)


async def _rival_rate(kind: str, viewers: int) -> float:
    with rival(kind, viewers, 0, FLOOD_S) as port:
        crowd = await counters(viewers, port, "/")
        await asyncio.gather(*(counter.closed for counter in crowd))
    return _rate(crowd)


def _rate(crowd: list[Counter]) -> float:
    began, last = min(counter.began for counter in crowd), max(counter.last for counter in crowd)
    return sum(counter.events for counter in crowd) / (last - began)


async def stalled(viewers: int = 100) -> None:
    """One that reads nothing among many that do."""
    async with ours() as server:
        blocker = await server.post(100_000, 20)
        experiment_id = await server.post(15_000, 1)
        path = f"{API}/{experiment_id}/stream"
        crowd = await counters(viewers, server.port, path)
        (still,) = await counters(1, server.port, path)
        still.transport.pause_reading()
        before = server.memory_kb
        await server.cancel(blocker)
        begun = time.perf_counter()
        peak, dropped_s = 0.0, None
        while dropped_s is None and time.perf_counter() - begun < 30:
            await asyncio.sleep(0.1)
            peak = max(peak, server.memory_kb - before)
            if await server.viewers() == viewers:
                dropped_s = time.perf_counter() - begun
        last = await server.ended(experiment_id)
        await asyncio.gather(*(counter.closed for counter in crowd))
        peak = max(peak, server.memory_kb - before)
        still.transport.abort()
    got = sum(counter.events for counter in crowd) / (last * viewers)
    shown = "never" if dropped_s is None else f"after {dropped_s:.1f} s"
    row(
        f"1 stalled viewer and {viewers} that read",
        f"{100 * got:.2f}% read, memory +{peak / 1024:.1f} MB, the stalled one dropped {shown}",
        "100%, 10 MB, 10 s", got == 1 and peak <= 10 * 1024 and dropped_s is not None and dropped_s <= 10,
    )  # fmt: skip


async def replay() -> None:
    """A long log to one who comes late."""
    async with ours() as server:
        experiment_id = await server.post(REPLAY - 5, 0)
        last = await server.ended(experiment_id)
        times = []
        for _ in range(20):
            viewer = Viewer(Frames())
            begun = time.perf_counter()
            await (await viewer.open(f"{server.url.replace('http', 'ws')}{API}/{experiment_id}/stream")).closed
            times.append(1000 * (time.perf_counter() - begun))
            assert (viewer.seen, viewer.lost) == (last, 0)
    p50, worst = percentile(times, 0.5), max(times)
    row(f"replay of a log of {last} events", f"p50 {p50:.0f}, worst of 20 {worst:.0f} ms", "<= 200 ms", worst <= 200)


async def idle() -> None:
    """What a viewer costs who waits, and what is left when thousands have gone."""
    async with ours() as server:
        experiment_id = await server.post(100_000, 1000)
        path = f"{API}/{experiment_id}/stream"

        async def come_and_go(number: int) -> float:
            crowd = await counters(number, server.port, path)
            while any(not counter.events for counter in crowd):
                await asyncio.sleep(0.05)
            held = server.memory_kb
            for counter in crowd:
                counter.transport.abort()
            await asyncio.gather(*(counter.closed for counter in crowd))
            while await server.viewers():
                await asyncio.sleep(0.05)
            return held

        await come_and_go(10)
        before = server.memory_kb
        each = (await come_and_go(IDLE) - before) / IDLE
        row(f"memory of an idle viewer ({IDLE} of them)", f"{each:.1f} KB", "<= 40 KB", each <= 40)
        await asyncio.sleep(1)
        before, files = server.memory_kb, server.descriptors
        for _ in range(CHURN // IDLE):
            await come_and_go(IDLE)
        await _subscribe_and_leave(server, experiment_id)
        await asyncio.sleep(1)
        grown = server.memory_kb - before
        row(
            f"{CHURN} viewers, and {CHURN} subscriptions, that came and went",
            f"memory {grown / 1024:+.1f} MB, descriptors {server.descriptors - files:+d}",
            "<= 5 MB, 0", grown <= 5 * 1024 and server.descriptors <= files,
        )  # fmt: skip


async def _subscribe_and_leave(server: Ours, experiment_id: str) -> None:
    """As many subscriptions as `CHURN`, a few hundred at a time, over one socket; it may say 100 things a second."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    for _ in range(CHURN // 450):
        line = await open_line(f"ws://127.0.0.1:{server.port}/api/v1/stream", {}, heard.put_nowait)
        for _ in range(450):
            line.send(b'{"op":"subscribe","id":"%s"}' % experiment_id.encode())
            line.send(b'{"op":"unsubscribe","id":"%s"}' % experiment_id.encode())
        left = 450
        while left:
            left -= b'"unsubscribed"' in await heard.get()
        line.leave()
        await line.closed


ROWS: dict[str, Callable[[], Awaitable[None]]] = {
    "paced": lambda: paced(100, 100, 10, 40),
    "thousand": lambda: paced(1_000, 40, 10, 250),
    "flood": flood,
    "stalled": stalled,
    "replay": replay,
    "idle": idle,
}


async def table(names: list[str]) -> None:
    """Every row, or those named."""
    for name in names or ROWS:
        await ROWS[name]()


def main() -> None:
    """Print the table."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(table(sys.argv[1:]))


if __name__ == "__main__":
    main()
