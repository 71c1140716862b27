"""What the server costs, in one run on one machine: latency and rate against plain PySCF, start, memory, health.

Run with `python bench/server.py`. Starts a server of its own, with a store that goes with it, and prints a table;
asserts nothing. Figures of the same row were measured alternating, with the same number of processes, and with one
thread each.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy loads: every solve of this table runs with one thread

import asyncio
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import connect

SLOTS = 2
ROUNDS = 60
EXPERIMENTS = 200
REPEATS = 5
PROBES = 400
API = "/api/v1/experiments"
LISTENING = "kanad-server listening on "

H2 = [("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.7414))]
ATOMS = [{"symbol": symbol, "position_angstrom": position} for symbol, position in H2]
HF: dict[str, Any] = {"molecule": {"atoms": ATOMS}, "basis": "sto-3g", "method": {"name": "hf"}, "fresh": True}
HEAVY: dict[str, Any] = {
    "molecule": {"library": "N2"},
    "basis": "6-31g",
    "method": {"name": "sqd", "sampler": "uniform", "samples_per_batch": 2000, "max_iterations": 100},
    "active_space": {"electrons": 10, "orbitals": 12},
    "fresh": True,
}


def plain_solve(_: int = 0) -> float:
    """What a person writes. Runs in processes that never load our solvers, which change PySCF's defaults."""
    from pyscf import gto, scf

    return float(scf.RHF(gto.M(atom=H2, basis="sto-3g", verbose=0)).kernel())


def plain_ms(_: int = 0) -> float:
    """Milliseconds of one plain solve, taken where it runs."""
    return timed_call(plain_solve)


def plain_pool(workers: int) -> ProcessPoolExecutor:
    """A bare pool with PySCF loaded and warm."""
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    list(pool.map(plain_solve, range(8 * workers)))
    return pool


def row(what: str, measured: str, reach: str, met: bool) -> None:
    """One line of the table."""
    print(f"{what:52} {measured:44} {reach:22} {'met' if met else 'NOT MET'}", flush=True)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - begun)


def timed_call(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


@contextlib.contextmanager
def own_server() -> Iterator[tuple[str, int, float]]:
    """A server; gives its address, its pid, and the seconds from its start to ready."""
    with tempfile.TemporaryDirectory(prefix="kanad-bench-") as folder, open(Path(folder) / "log", "w") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--slots", str(SLOTS), "--data-dir",
             str(Path(folder) / "data"), "--log-level", "warning"],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix(LISTENING).strip()
            with httpx.Client(base_url=url, trust_env=False) as http:
                while http.get("/health/ready").status_code != 200:
                    time.sleep(0.005)
            yield url, process.pid, time.perf_counter() - begun
        finally:
            process.terminate()
            process.wait(20)


def memory_mb(pid: int, *names: str) -> float:
    """The sum of the named lines of a process's memory map, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in names) / 1024


async def until_idle(http: httpx.AsyncClient) -> None:
    """Wait until nothing waits and nothing runs."""
    while True:
        system = (await http.get("/api/v1/system")).json()
        if not system["queue_length"] and all(slot["state"] == "idle" for slot in system["slots"]):
            return
        await asyncio.sleep(0.01)


async def submit_and_wait(http: httpx.AsyncClient) -> None:
    """One experiment, to its end."""
    answer = (await http.post(API, json=HF, headers={"Prefer": "wait=30"})).json()
    assert answer["status"] == "completed", answer


async def post_each(host: str, port: int | None, numbers: Iterator[int]) -> None:
    """Post one experiment for each number over a connection of its own, as lean as a load harness does."""
    body = msgspec.json.encode(HF)
    head = f"POST {API} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    reader, writer = await asyncio.open_connection(host, port)
    for _ in numbers:
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201"), answer
        await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()


async def submit_and_watch(http: httpx.AsyncClient, url: str) -> None:
    """One experiment, to the last event of its stream."""
    experiment = (await http.post(API, json=HF)).json()
    async with connect(
        f"{url.replace('http', 'ws', 1)}{API}/{experiment['id']}/stream", proxy=None, compression=None
    ) as socket:
        async for _ in socket:
            pass


async def latency(http: httpx.AsyncClient, url: str) -> None:
    """One experiment after another, beside a direct solve in this warm process and a plain script's solve."""
    from kanad_solvers.run import run
    from kanad_solvers.spec import Spec

    spec = msgspec.convert(HF, Spec)

    def direct() -> float:
        return run(spec, lambda _: None, lambda: False).energy_hartree

    waits, watches, directs, plains = [], [], [], []
    for _ in range(5):
        await submit_and_wait(http)
        direct()
    with plain_pool(1) as script:
        for _ in range(ROUNDS):
            waits.append(await timed(lambda: submit_and_wait(http)))
            directs.append(timed_call(direct))
            watches.append(await timed(lambda: submit_and_watch(http, url)))
            plains.append(script.submit(plain_ms).result())
    wait, watch, own, plain = map(statistics.median, (waits, watches, directs, plains))
    row("submit to completed (Prefer: wait) - direct solve", f"{wait:.1f} - {own:.1f} = {wait - own:.1f} ms p50",
        "<= 15 ms", wait - own <= 15)  # fmt: skip
    row("submit to last event (WebSocket) - direct solve", f"{watch:.1f} - {own:.1f} = {watch - own:.1f} ms p50",
        "<= 15 ms", watch - own <= 15)  # fmt: skip
    row("submit to completed / plain PySCF solve", f"{wait:.1f} / {plain:.1f} ms = {wait / plain:.2f}",
        "< 1", wait < plain)  # fmt: skip


async def rate(http: httpx.AsyncClient) -> None:
    """Many experiments at once, beside the plain solve mapped over a bare pool of as many processes."""
    ours, theirs = [], []

    async def all_of_them() -> None:
        numbers = iter(range(EXPERIMENTS - 1))
        await asyncio.gather(*(post_each(http.base_url.host, http.base_url.port, numbers) for _ in range(8)))
        await submit_and_wait(http)  # the line is first come, first served
        await until_idle(http)

    with plain_pool(SLOTS) as pool:
        for _ in range(REPEATS):
            ours.append(EXPERIMENTS / await timed(all_of_them) * 1000)
            theirs.append(EXPERIMENTS / timed_call(lambda: list(pool.map(plain_solve, range(EXPERIMENTS)))) * 1000)
    here, there = statistics.median(ours), statistics.median(theirs)
    row(f"{EXPERIMENTS} experiments / plain PySCF over a bare pool", f"{here:.0f} / {there:.0f} a second ="
        f" {here / there:.2f}", ">= 2", here >= 2 * there)  # fmt: skip
    figures = (await http.get("/metrics")).text.splitlines()
    unfinished = [line for line in figures if line.startswith("kanad_experiments{") and "completed" not in line]
    assert not unfinished, unfinished


async def health(http: httpx.AsyncClient) -> None:
    """How long a health check takes while every slot computes and others wait."""
    ids = [(await http.post(API, json=HEAVY | {"fresh": True})).json()["id"] for _ in range(SLOTS + 20)]
    while not all(s["state"] == "running" for s in (await http.get("/api/v1/system")).json()["slots"]):
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    times = []
    for _ in range(PROBES):
        times.append(await timed(lambda: http.get("/health/ready")))
        await asyncio.sleep(0.01)
    system = (await http.get("/api/v1/system")).json()
    busy = sum(slot["state"] == "running" for slot in system["slots"])
    for experiment_id in ids:
        await http.post(f"{API}/{experiment_id}/cancel")
    p50, p99 = statistics.median(times), percentile(times, 0.99)
    row(f"/health/ready, {busy} slots busy, {system['queue_length']} waiting", f"p50 {p50:.1f}, p99 {p99:.1f} ms",
        "p99 <= 25 ms", p99 <= 25)  # fmt: skip


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """One client for all rows."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        yield http


async def measure(url: str, server: int, ready_s: float) -> None:
    """The table of one server."""
    async with client(url) as http:
        workers = [slot["pid"] for slot in (await http.get("/api/v1/system")).json()["slots"]]
        row("start to ready", f"{ready_s:.2f} s", "<= 2 s", ready_s <= 2)
        private = max(memory_mb(pid, "Private_Clean", "Private_Dirty") for pid in workers)
        row("private memory of an idle worker", f"{private:.0f} MB", "<= 60 MB", private <= 60)
        await latency(http, url)
        await rate(http)
        await health(http)
        private = max(memory_mb(pid, "Private_Clean", "Private_Dirty") for pid in workers)
        resident = memory_mb(server, "Rss")
        row("server's resident memory after all this", f"{resident:.0f} MB", "<= 120 MB", resident <= 120)


def main() -> None:
    """Print the table."""
    with own_server():  # what the first start reads from the disk, the second finds in memory
        pass
    with own_server() as (url, pid, ready_s):
        asyncio.run(measure(url, pid, ready_s))


if __name__ == "__main__":
    main()
