"""What a page of the list costs with 100,000 stored experiments: each order with each filter, over HTTP.

Run it with `python bench/listing.py`. Fills a store of its own, serves it, and prints a table; asserts nothing.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import httpx
from msgspec.structs import replace

from kanad_server.clock import new_id
from kanad_server.store import Campaign, Commit, SqliteStore
from kanad_server.store.base import SortKey
from kanad_server.testing import spec
from kanad_server.wire import Experiment, Percentage, StatusName
from kanad_solvers.spec import FullCI, HartreeFock, Method

STORED = 100_000
AT_ONCE = 5_000
PAGES = 12
METHODS: tuple[Method, ...] = (HartreeFock(), FullCI())
STATUSES: tuple[StatusName, ...] = ("completed", "completed", "completed", "failed", "cancelled")
FILTERS: tuple[dict[str, str], ...] = (
    {}, {"status": "completed"}, {"status": "failed"}, {"status": "running"}, {"method": "hf"}, {"tag": "common"},
    {"tag": "rare"}, {"q": "water"}, {"q": "water 77"}, {"q": "w"}, {"q": "nowhere"}, {"campaign": ""},
    {"status": "completed", "method": "fci", "tag": "common", "q": "water"},
)  # fmt: skip


def experiment(number: int, chance: random.Random, campaign: str) -> Experiment:
    """One of many."""
    status = chance.choice(STATUSES)
    finished = f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
    tags = ("common",) * (number % 3 == 0) + ("rare",) * (number % 1000 == 0)
    made = Experiment(
        id=new_id(), name=f"{chance.choice(('water', 'ethanol', 'benzene'))} {number}", tags=tags, priority=0,
        status=status, spec=spec(method=METHODS[number % 2]), spec_hash=str(number), attempt=1,
        progress=Percentage(percent=100.0), last_seq=1, created_at=finished, started_at=finished,
        finished_at=finished, campaign=campaign if number % 200 == 0 else None,
    )  # fmt: skip
    return replace(made, energy_hartree=-chance.uniform(1, 100)) if status == "completed" else made


async def fill(path: Path, stored: int = STORED) -> str:
    """A store with `stored` experiments; returns the id of its one campaign."""
    chance = random.Random(20261125)
    campaign = Campaign(id=new_id(), owner="local", name="c", tags=(), size=stored // 200, created_at="")
    async with SqliteStore(path) as store:
        await store.commit(Commit(campaigns=[campaign]))
        for start in range(0, stored, AT_ONCE):
            made = [experiment(number, chance, campaign.id) for number in range(start, start + AT_ONCE)]
            event = '{"type":"status","seq":1}'
            await store.commit(Commit(inserts=made, events=[(e.id, 1, event) for e in made]))
    return campaign.id


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def measure(http: httpx.Client, campaign: str) -> list[float]:
    """Milliseconds of pages, in each order with each filter; prints a row for each filter."""
    everything = []
    for wanted in FILTERS:
        wanted = {name: value or campaign for name, value in wanted.items()}
        worst, worst_sort, all_ms = 0.0, "", []
        for sort in get_args(SortKey):
            cursor, times = None, []
            for _ in range(PAGES):
                query = wanted | {"sort": sort, "limit": "50"} | ({} if cursor is None else {"cursor": cursor})
                begun = time.perf_counter()
                page = http.get("/api/v1/experiments", params=query)
                times.append(1000 * (time.perf_counter() - begun))
                cursor = page.raise_for_status().json()["next_cursor"]
            if max(times) > worst:
                worst, worst_sort = max(times), sort
            all_ms += times
        name = " ".join(f"{key}={value[:12]}" for key, value in wanted.items()) or "all"
        print(f"{name:58} p50 {statistics.median(all_ms):6.1f}  worst {worst:6.1f} ms ({worst_sort})", flush=True)
        everything += all_ms
    return everything


def row(what: str, value: float, reach: float, unit: str) -> None:
    """One line against its goal."""
    print(f"{what:58} {value:6.1f} {unit} <= {reach:g}  {'met' if value <= reach else 'NOT MET'}")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="kanad-bench-") as folder, open(Path(folder) / "log", "w") as log:
        data = Path(folder) / "data"
        data.mkdir()
        campaign = asyncio.run(fill(data / "kanad.sqlite"))
        process = subprocess.Popen(
            [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--slots", "1", "--data-dir", str(data),
             "--log-level", "warning"],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                while http.get("/health/ready").status_code != 200:
                    time.sleep(0.01)
                times = sorted(measure(http, campaign))
            p99 = times[int(0.99 * len(times))]
            row(f"page of 50 among {STORED}, every filter and order: p99", p99, 20, "ms")
            row("server's resident memory after all this", resident_mb(process.pid), 150, "MB")
        finally:
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
