"""Everything by keyboard: a run from the first page; where the focus is, and that it is to be seen."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab, difference, pixels
from tests.browser.world import H2_HARTREE, Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser

FOCUSED = "kanadSeen.focused()"


def tab_to(tab: Tab, name: str, most: int = 60) -> None:
    """Press Tab until what has the focus is called `name`."""
    seen = []
    for _ in range(most):
        tab.page.keyboard.press("Tab")
        seen.append(tab.page.evaluate(FOCUSED)[:40])
        if seen[-1] == name:
            return
    raise AssertionError(f"Tab never came to {name!r}, but to {seen}")


def test_from_the_first_page_to_a_completed_run(tab: Tab) -> None:
    page = tab.go("/")
    tab_to(tab, "New run")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
    tab.until("document.activeElement.tagName === 'H1'", "the focus on the new page's heading")
    page.locator(".choice").first.wait_for()
    tab_to(tab, "H₂hydrogen")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/runs/*")
    tab.status("Completed")
    assert tab.energy() == pytest.approx(H2_HARTREE, abs=1e-6)
    tab.until("document.activeElement.tagName === 'H1'", "the focus on the run's heading")


def test_focus_is_seen_everywhere(tab: Tab, runs: Runs) -> None:
    for path in ("/", "/new", f"/runs/{runs['excited']}"):
        page = tab.go(path)
        page.locator(".choice, .window .row, .tabs").first.wait_for()
        page.keyboard.press("Tab")
        for _ in range(25):
            page.keyboard.press("Tab")
            assert page.evaluate("kanadSeen.focusIsShown()"), f"{path}: {page.evaluate(FOCUSED)[:60]}"


def test_menu_gives_the_focus_back(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['h2']}")
    tab.button("Export").focus()
    page.keyboard.press("Enter")
    tab.button("Copy as curl").wait_for()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED) == "result.json"
    page.keyboard.press("Escape")
    assert tab.button("Copy as curl").count() == 0
    assert page.evaluate(FOCUSED) == "Export"


def test_the_focus_goes_to_what_is_next_where_its_holder_goes_away(tab: Tab, server: Server) -> None:
    identity = server.post(probe(steps=50_000, step_ms=20, name="Focused"))["id"]
    page = tab.go(f"/runs/{identity}")
    tab.status("Running")
    tab.button("Cancel").focus()
    page.keyboard.press("Enter")
    tab.status("Cancelled")
    tab.until(f"{FOCUSED} === 'Retry'", "the focus on what has come into the place of Cancel")
    page.keyboard.press("Enter")
    tab.status("Running")
    tab.until(f"{FOCUSED} === 'Cancel'", "the focus on what has come into the place of Retry")
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    tab.status("Cancelled")


def test_a_choice_of_runs_is_cleared_by_keyboard_and_the_focus_stays_in_the_page(tab: Tab, runs: Runs) -> None:
    page = tab.go("/?q=h₂")
    page.locator(".window .row input").first.focus()
    page.keyboard.press("Space")
    page.locator(".window .row input").nth(1).focus()
    page.keyboard.press("Space")
    tab_to(tab, "Clear")
    page.keyboard.press("Enter")
    tab.until("!document.querySelector('.selection')", "the choice to be cleared")
    tab.until("document.activeElement !== document.body", "the focus on what is left")


def test_tabs_move_with_the_arrows(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['excited']}")
    page.get_by_role("tab", name="Levels").focus()
    page.keyboard.press("ArrowRight")
    page.locator("[role=tab][aria-selected=true]", has_text="Spectrum").wait_for()
    assert page.evaluate(FOCUSED) == "Spectrum"
    page.keyboard.press("End")
    page.locator("[role=tab][aria-selected=true]", has_text="Provenance").wait_for()
    assert "tab=provenance" in page.url


def test_chart_is_read_and_zoomed_by_keys(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    tab.until("kanadSeen.labels.at(-1) > 1", "the chart")
    chart = page.get_by_label("Convergence", exact=True)
    chart.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")
    assert "SCF 1: −" in chart.locator(".readout[aria-live]").inner_text()
    page.keyboard.press("+")
    tab.button("Whole range").wait_for()
    page.keyboard.press("0")
    assert tab.button("Whole range").count() == 0


def test_rows_of_the_list_move_with_the_arrows(tab: Tab, runs: Runs) -> None:
    page = tab.go("/")
    page.locator(".window .row .name").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('.row').dataset.at") == "1"
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*")


def test_less_motion_where_it_is_asked_for(server: Server, runs: Runs, open_tab: OpenTab) -> None:
    tab = open_tab(server, reduced_motion="reduce")
    page = tab.go(f"/runs/{runs['vibrations']}?tab=vibrations")
    view = page.locator(".mol").first
    before = tab.settled(view)
    tab.seen("drawn(30)")  # what would swing by itself would have swung
    assert difference(before, pixels(view)) == 0
    assert page.evaluate("kanadSeen.moving()") == 0
