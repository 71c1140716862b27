"""Every page, in both themes and at every size: accessible, whole, quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import Runs
from tests.support.server import Server

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
TABS = {
    "water": ("levels", "geometry", "log", "input", "provenance"),
    "excited": ("levels", "spectrum"),
    "vibrations": ("spectrum", "vibrations"),
    "optimized": ("geometry",),
    "scan": ("scan",),
    "sqd": ("circuit",),
}
PAGES = {
    "runs": "/",
    "no such run": "/?q=nothing+is+called+so",
    "new": "/new",
    "new by xyz": '/new?spec={{"molecule":{{"xyz":"1\\n\\nHe 0 0 0"}},"method":{{"name":"casscf"}}}}',
    "failed": "/runs/{failed}",
    "cancelled": "/runs/{cancelled}",
    **{f"{run}, {tab}": f"/runs/{{{run}}}?tab={tab}" for run, tabs in TABS.items() for tab in tabs},
    "compare": "/compare?ids={h2},{fci},{vqe}",
    "campaigns": "/campaigns",
    "campaign": "/campaigns/{campaign}",
    "queue": "/queue",
    "library": "/library",
    "about": "/about",
    "unknown run": "/runs/nothing",
}


def opened(tab: Tab, name: str, runs: Runs) -> None:
    """Open a page and wait until nothing more is on its way."""
    tab.page.goto(PAGES[name].format(**runs))
    tab.page.locator("h1").first.wait_for()
    tab.until("!document.querySelector('main')?.innerText.includes('Loading')", f"{name} to be loaded")
    if ", " in name:
        tab.page.locator("[role=tabpanel] > *").first.wait_for()


def violations(tab: Tab) -> list[str]:
    """What axe finds wrong, one line each."""
    tab.page.evaluate(AXE.read_text())
    found: dict[str, Any] = tab.page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_violation(theme: str, server: Server, runs: Runs, open_tab: OpenTab) -> None:
    tab = open_tab(server, color_scheme=theme)
    tab.refusals_expected = True  # of the unknown run
    found = {}
    for name in PAGES:
        opened(tab, name, runs)
        found[name] = violations(tab)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("width", "scale"), [(320, 1), (390, 2), (640, 2)], ids=["320 px", "a phone", "200 % of 1280 px"]
)
def test_nothing_is_wider_than_the_window(
    width: int, scale: int, server: Server, runs: Runs, open_tab: OpenTab
) -> None:
    tab = open_tab(server, viewport={"width": width, "height": 700}, device_scale_factor=scale)
    tab.refusals_expected = True
    wide = {}
    for name in PAGES:
        opened(tab, name, runs)
        wide[name] = tab.page.evaluate("kanadSeen.wide()")
    assert {name: parts for name, parts in wide.items() if parts} == {}


def test_no_page_logs_an_error_or_asks_elsewhere(server: Server, runs: Runs, open_tab: OpenTab) -> None:
    tab = open_tab(server)
    for name in PAGES:
        if name != "unknown run":
            opened(tab, name, runs)
            tab.page.wait_for_load_state("networkidle")
            assert (name, tab.errors, tab.strangers) == (name, [], [])
    assert len(tab.requests) > len(PAGES)


def test_theme_is_chosen_and_kept(tab: Tab) -> None:
    page = tab.go("/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.button("Dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    tab.button("Light theme").wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
