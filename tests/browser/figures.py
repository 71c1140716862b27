"""How fast the pages are, in Chromium without a graphics card: `make bench-browser` prints it; nothing is asserted.

Every frame here is drawn by the processor, which a server with busy slots needs too: measure on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.listing import fill
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, OPTIONS
from tests.browser.tab import Tab
from tests.support.server import Server, probe

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STATIC = Path(__file__).parents[2] / "src/kanad_server/static"
ROWS = 10_000
POINTS = 20_000


def row(what: str, value: float | str, reach: float, unit: str) -> None:
    """One line against its goal."""
    shown = f"{value:8.1f}" if isinstance(value, float) else f"{value:>8}"
    print(f"{what:72} {shown} {unit:3} <= {reach:g}  {'met' if float(value) <= reach else 'NOT MET'}", flush=True)


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 stay below."""
    return sorted(values)[int(0.95 * (len(values) - 1))]


def bundles() -> None:
    """What is loaded, packed."""
    manifest = json.loads((STATIC / "manifest.json").read_text())
    packed = {name: file["gzip_bytes"] / 1024 for name, file in manifest["files"].items()}
    row("scripts that the first page needs, gzip", sum(packed[name] for name in manifest["initial"]), 60, "kB")
    row("styles, gzip", sum(packed[name] for name in manifest["styles"]), 12, "kB")
    row(
        "3D engine, loaded when a structure is shown, gzip",
        max(packed[n] for n in packed if n.startswith("3Dmol")),
        180,
        "kB",
    )


def first_paint(browser: Browser, server: Server) -> None:
    """First contentful paint of the first page, in a profile without a cache."""
    times = []
    for _ in range(7):
        tab = Tab(browser, server.url)
        tab.go("/")
        times.append(
            tab.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
            or tab.until("performance.getEntriesByName('first-contentful-paint')[0]?.startTime", "a paint")
        )
        tab.close()
    row("first contentful paint of /, median of 7, nothing cached", float(statistics.median(times)), 700, "ms")


def stream(browser: Browser, server: Server) -> None:
    """A run that brings 200 events a second, watched for 10 s."""
    identity = server.post(probe(steps=8_000, step_ms=4, name="200 a second"))["id"]  # 5 ms and what a step costs
    tab = Tab(browser, server.url)
    tab.go(f"/runs/{identity}")
    tab.until("kanadSeen.labels.length > 20", "the chart to grow")
    before, since = len(tab.events), tab.page.evaluate("performance.now()")
    frames = tab.page.evaluate("kanadSeen.frames(10)")
    rate = (len(tab.events) - before) / (sum(frames) / 1000)
    tasks = [duration for start, duration in tab.seen("tasks") if start >= since]
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    tab.close()
    print(f"{'events that the page got':72} {rate:8.1f} /s  >= 200  {'met' if rate >= 200 else 'NOT MET'}")
    row("between frames meanwhile, for 10 s, p95", p95(frames), 33, "ms")
    row("longest task meanwhile", float(max(tasks, default=0.0)), 200, "ms")


def many_points(browser: Browser, server: Server) -> None:
    """A chart of 20,000 points: what a key takes to be answered."""
    identity = server.post(probe(steps=POINTS, step_ms=0, name="Many points"))["id"]
    server.ended(identity)
    tab = Tab(browser, server.url)
    page = tab.go(f"/runs/{identity}")
    tab.until(f"kanadSeen.labels.at(-1) === {POINTS}", "all points")
    chart = page.get_by_label("Convergence", exact=True)
    chart.get_by_role("application").focus()
    since = page.evaluate("performance.now()")
    answers = []
    for key in ("ArrowRight", "ArrowRight", "+", "+", "ArrowLeft", "-", "0") * 2:
        page.evaluate("kanadSeen.expect('keydown')")
        page.keyboard.press(key)
        answers.append(float(page.evaluate("kanadSeen.answer")))
    page.evaluate("kanadSeen.expect('click')")
    tab.button("Error, log").click()
    answers.append(float(page.evaluate("kanadSeen.answer")))
    frames = page.evaluate("kanadSeen.frames(2)")
    tasks = [duration for start, duration in tab.seen("tasks") if start >= since]
    tab.close()
    row(f"{POINTS} points: from a key or click to the second frame after, p95", p95(answers), 100, "ms")
    row(f"{POINTS} points: longest task", float(max(tasks, default=0.0)), 200, "ms")
    row(f"{POINTS} points: between frames, p95", p95(frames), 33, "ms")


def many_rows(browser: Browser, folder: Path) -> None:
    """A list of 10,000 runs, scrolled through."""
    data = folder / "data"
    data.mkdir(parents=True)
    with ThreadPoolExecutor(1) as aside:  # this thread has the loop of playwright
        aside.submit(asyncio.run, fill(data / "kanad.sqlite", ROWS)).result()
    server = Server(folder, "--slots", "1", data=data)
    server.ready()
    tab = Tab(browser, server.url)
    page = tab.go("/")
    page.locator(".window .row").first.wait_for()
    since = page.evaluate("performance.now()")
    frames = page.evaluate("kanadSeen.frames(10, 90)")
    tasks = [duration for start, duration in tab.seen("tasks") if start >= since]
    nodes = page.evaluate("document.querySelectorAll('*').length")
    at = page.evaluate("Math.max(...[...document.querySelectorAll('.window .row')].map(row => Number(row.dataset.at)))")
    tab.close()
    server.stop()
    print(f"{'rows scrolled through in 10 s':72} {at:8d}")
    row(f"{ROWS} rows: between frames while scrolling, p95", p95(frames), 33, "ms")
    row(f"{ROWS} rows: longest task", float(max(tasks, default=0.0)), 200, "ms")
    row(f"{ROWS} rows: elements in the page", float(nodes), 1500, "")


def main() -> None:
    """Print the table."""
    bundles()
    with tempfile.TemporaryDirectory(prefix="kanad-bench-") as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        server = Server(folder, "--slots", "2")
        server.ready()
        first_paint(browser, server)
        stream(browser, server)
        many_points(browser, server)
        server.stop()
        many_rows(browser, folder / "rows")
        browser.close()


if __name__ == "__main__":
    main()
