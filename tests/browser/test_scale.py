"""Much at once: 10,000 runs in the list, 20,000 points in a chart; what is loaded, and when."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.listing import fill

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser

ROWS = 10_000
MOST_NODES = 1_500


def test_ten_thousand_runs_stay_few_elements(tmp_path: Path, open_tab: OpenTab) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with ThreadPoolExecutor(1) as aside:  # this thread has the loop of playwright
        aside.submit(asyncio.run, fill(data / "kanad.sqlite", ROWS)).result()
    server = Server(tmp_path, "--slots", "1", data=data)
    server.ready()
    tab = open_tab(server)
    page = tab.go("/?sort=created_at")
    highest = "Math.max(0, ...[...document.querySelectorAll('.window .row')].map(row => Number(row.dataset.at)))"
    nodes = "document.querySelectorAll('*').length"
    most = 0

    def scrolled() -> bool:
        nonlocal most
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        most = max(most, page.evaluate(nodes))
        return bool(page.evaluate(highest) == ROWS - 1)

    tab.wait(scrolled, "the last of all rows", timeout_s=60)
    assert most <= MOST_NODES
    page.keyboard.press("Home")
    tab.until(
        "[...document.querySelectorAll('.window .row')].some(row => row.dataset.at === '0')", "the first row again"
    )
    page.close()
    assert server.stop() == 0


def test_twenty_thousand_points_are_drawn_and_zoomed(tab: Tab, server: Server) -> None:
    identity = server.post(probe(steps=20_000, step_ms=0, name="Many points"))["id"]
    server.ended(identity)
    page = tab.go(f"/runs/{identity}")
    tab.until("kanadSeen.labels.at(-1) === 20000", "all points")
    chart = page.get_by_label("Convergence", exact=True)
    chart.get_by_role("application").focus()
    page.keyboard.press("+")
    tab.button("Whole range").wait_for()
    page.keyboard.press("ArrowRight")
    assert "Probe" in chart.locator(".readout[aria-live]").inner_text()
    for _ in range(60):
        page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    assert "Probe" in chart.locator(".readout[aria-live]").inner_text(), "a zoom has an end"
    chart.get_by_role("button", name="Show data").click()
    assert chart.locator(".data-table tbody tr").count() == 1000, "the table is bounded; the CSV has all"


def test_zoom_and_pause_hold_while_points_come(tab: Tab, server: Server) -> None:
    identity = server.post(probe(steps=50_000, step_ms=10, name="Zoomed"))["id"]
    page = tab.go(f"/runs/{identity}")
    tab.until("kanadSeen.labels.at(-1) > 20", "points")
    tab.button("Pause").click()
    held = tab.chart_points()
    seen = len(tab.events)
    tab.wait(lambda: len(tab.events) > seen + 20, "more events")
    assert tab.chart_points() == held
    tab.button("Go on").click()
    tab.until(f"kanadSeen.labels.at(-1) > {held + 20}", "what came meanwhile")
    page.get_by_label("Convergence", exact=True).get_by_role("application").focus()
    page.keyboard.press("+")
    tab.button("Whole range").wait_for()
    now = max(60, tab.chart_points())  # by then the values are equal to their last digits
    tab.until(f"kanadSeen.labels.at(-1) > {now + 20}", "more points")
    assert tab.button("Whole range").count() == 1, "the zoom is still there"
    tab.button("Cancel").click()
    tab.status("Cancelled")


def test_3d_engine_is_loaded_only_where_it_is_shown(tab: Tab, runs: Runs) -> None:
    page = tab.go("/")
    page.wait_for_load_state("networkidle")
    assert not any("3Dmol" in url for url in tab.requests)
    page.get_by_role("link", name="New run").click()
    page.locator(".mol canvas").first.wait_for()
    assert any("3Dmol" in url for url in tab.requests)


def test_what_is_loaded_is_small() -> None:
    manifest = json.loads((Path(__file__).parents[2] / "src/kanad_server/static/manifest.json").read_text())
    packed = {name: file["gzip_bytes"] for name, file in manifest["files"].items()}
    assert sum(packed[name] for name in manifest["initial"]) <= 60 * 1024
    assert sum(packed[name] for name in manifest["styles"]) <= 12 * 1024
    engine = [size for name, size in packed.items() if name.startswith("3Dmol")]
    assert 0 < max(engine) <= 180 * 1024
