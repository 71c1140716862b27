"""What a Dask cluster costs beside the local engine, on this machine. `make bench-dask`, or `python -m bench.dask`.

Starts a scheduler, two workers of one thread, and a server for each engine; prints a table, asserts nothing.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from tests.engines.cluster import Cluster
from tests.support.server import H2_ATOMS, Server, wait_for
from websockets.asyncio.client import connect

ROUNDS = 40
EXPERIMENTS = 100
WORKERS = 2
STEPS, STEP_MS = 400, 50
API = "/api/v1/experiments"
HF: dict[str, Any] = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "hf"}, "fresh": True}


def probe(**options: Any) -> dict[str, Any]:
    """A spec that needs no chemistry."""
    limits = {"wall_s": 600, "memory_mb": 512}
    return {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "probe", **options}, "limits": limits}


def row(what: str, measured: str, reach: str, met: bool) -> None:
    """One line of the table."""
    print(f"{what:52} {measured:44} {reach:20} {'met' if met else 'NOT MET'}", flush=True)


def latency_ms(server: Server) -> float:
    """Milliseconds from submit to completed, the median."""
    taken = []
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        for number in range(ROUNDS + 5):
            begun = time.perf_counter()
            answer = http.post(API, json=HF, headers={"Prefer": "wait=30"}).json()
            assert answer["status"] == "completed", answer
            if number >= 5:  # the first ones warm up
                taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken)


def many_s(server: Server) -> float:
    """Seconds for 100 experiments of one second."""
    spec = probe(steps=10, step_ms=100)
    begun = time.perf_counter()
    ids = [server.post(spec)["id"] for _ in range(EXPERIMENTS)]
    wait_for(lambda: server.get(ids[-1])["status"] == "completed" and not server.system()["queue_length"], "all", 200)
    for one in ids:
        server.ended(one)
    return time.perf_counter() - begun


async def late_ms(server: Server) -> tuple[float, float]:
    """(p50, p99) from the solver's report of a step, whose moment it carries, to its receipt by a viewer."""
    experiment = server.post(probe(steps=STEPS, step_ms=STEP_MS))["id"]
    delays = []
    url = f"{server.url.replace('http', 'ws', 1)}{API}/{experiment}/stream"
    async with connect(url, proxy=None, compression=None) as socket:
        async for frame in socket:
            now, body = time.time(), json.loads(frame)
            events = body if isinstance(body, list) else [body]
            delays += [1000 * (now - event["residual"]) for event in events if event["type"] == "convergence"]
    assert len(delays) == STEPS
    delays.sort()
    return delays[len(delays) // 2], delays[int(0.99 * len(delays))]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="kanad-bench-") as folder:
        place = Path(folder)
        for name in ("cluster", "local", "dask"):
            (place / name).mkdir()
        with Cluster(place / "cluster") as cluster:
            cluster.mend(WORKERS)
            local = Server(place / "local", "--slots", str(WORKERS))
            local.ready()
            own = latency_ms(local)
            local.stop()
            server = Server(place / "dask", "--engine", cluster.engine)
            try:
                wait_for(lambda: len(server.system()["slots"]) == WORKERS, "the workers", 60)
                there = latency_ms(server)
                row("submit to completed, H2 HF, above the local engine", f"{there:.1f} - {own:.1f} = "
                    f"{there - own:.1f} ms p50", "<= 150 ms", there - own <= 150)  # fmt: skip
                taken, ideal = many_s(server), EXPERIMENTS / WORKERS
                row(f"{EXPERIMENTS} experiments of 1 s on {WORKERS} workers", f"{taken:.1f} s, ideal {ideal:.0f} s = "
                    f"{100 * (taken / ideal - 1):.1f} % above", "<= 10 %", taken <= 1.1 * ideal)  # fmt: skip
                p50, p99 = asyncio.run(late_ms(server))
                row("a step of the solver to a viewer", f"p50 {p50:.0f}, p99 {p99:.0f} ms", "p99 <= 300 ms",
                    p99 <= 300)  # fmt: skip
            finally:
                server.stop()


if __name__ == "__main__":
    main()
