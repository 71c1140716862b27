"""Every page, in both themes and at every size: accessible, whole, quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.tab import Tab
from tests.browser.world import Runs

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
    "new by xyz": '/new?spec={{"molecule":{{"xyz":"1\\n\\nHe 0 0 0"}},"method":{{"name":"hf"}}}}',
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
    "docs": "/docs",
}


def opened(tab: Tab, name: str, runs: Runs) -> None:
    """Open a page and wait until nothing more is on its way."""
    tab.page.goto(PAGES[name].format(**runs))
    tab.page.locator("h1").first.wait_for()
    tab.until("!document.querySelector('main')?.innerText.includes('Loading')", f"{name} to be loaded")
    if name == "docs":
        tab.page.locator(".opblock").first.wait_for()
    if ", " in name:
        tab.page.locator("[role=tabpanel] > *").first.wait_for()


def violations(tab: Tab, inside: str = "html") -> list[str]:
    """What axe finds wrong, one line each."""
    if tab.page.evaluate("typeof axe") == "undefined":
        tab.page.evaluate(AXE.read_text())
    found: dict[str, Any] = tab.page.evaluate(f"axe.run({inside!r}, {{ resultTypes: ['violations'] }})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_and_whole_and_quiet(name: str, tab: Tab, runs: Runs) -> None:
    tab.refusals_expected = name == "unknown run"
    opened(tab, name, runs)
    run, _, shown = name.partition(", ")
    inside = ".tab-body" if shown and TABS[run][0] != shown else "html"  # what is around the tabs is looked at once
    found = {}
    for theme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=theme)
        tab.until("!document.getAnimations().length", "the colours to be there")
        found[theme] = violations(tab, inside)
    for width in (2560, 2000, 1280, 640, 390, 320):  # 640 px: a window of 1280 px at a zoom of 200 %
        tab.page.set_viewport_size({"width": width, "height": 700})
        tab.until(f"innerWidth === {width}", "the width")
        tab.seen("drawn(2)")
        found[str(width)] = [*tab.seen("wide()"), *tab.seen("cut()"), *tab.seen("overlapping()")]
    told = [f"{where}: {one}" for where, wrong in found.items() for one in wrong]
    assert not told, "\n".join(told)


def test_a_call_of_the_docs_has_an_address(tab: Tab) -> None:
    page = tab.page
    page.goto("/docs")
    call = page.locator(".opblock").nth(1)
    call.locator(".opblock-summary-control").click()
    tab.until("location.hash.length > 1", "the call in the address")
    opened, path = page.url, call.locator(".opblock-summary-path").get_attribute("data-path")
    page.goto("about:blank")
    page.goto(opened)
    expect(page.locator(".opblock.is-open .opblock-summary-path")).to_have_attribute("data-path", path or "")
    page.locator(".opblock-summary-control").first.click()  # with a body
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        tab.until("!document.getAnimations().length", "the colours to be there")
        assert violations(tab) == []
    page.locator(".opblock-summary-control").first.click()
    tab.until("location.hash === ''", "the closed call to leave the address")


def test_theme_is_chosen_and_kept(tab: Tab) -> None:
    page = tab.go("/")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.button("Dark theme").click()
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert dark != light
    page.reload()
    tab.button("Light theme").wait_for()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark
