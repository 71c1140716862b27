"""The 3D view: orbitals that differ, one WebGL context for all pages, nothing that moves by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab, difference, pixels
from tests.browser.world import Runs
from tests.support.server import Server, wait_for

pytestmark = pytest.mark.browser

NO_WEBGL = """
for (const { prototype } of [HTMLCanvasElement, OffscreenCanvas]) {
  const before = prototype.getContext;
  prototype.getContext = function (kind, ...more) {
    return /webgl/.test(kind) ? null : before.call(this, kind, ...more);
  };
}
"""


def test_homo_and_lumo_are_drawn_and_differ(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    view = page.locator(".mol").first
    choose = page.get_by_label("Orbital", exact=True)
    names = choose.locator("option").all_inner_texts()

    def shown(name: str, before: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        choose.select_option(label=next(text for text in names if f"  {name}  " in text))
        tab.changed(view, before)
        return tab.settled(view)

    homo = shown("HOMO", tab.settled(view))
    lumo = shown("LUMO", homo)
    assert difference(homo, lumo) > 0.01, "they are not the same"
    page.get_by_label("Isovalue").fill("0.15")
    tab.changed(view, lumo)
    small = tab.settled(view)
    assert difference(small, lumo) > 0.01, "lobes are smaller at a higher value"
    assert difference(homo, shown("HOMO", small)) > 0.01, "the value stays for the next orbital"


def test_orbitals_come_as_binary_grids(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    page.get_by_label("Orbital", exact=True).select_option("5")
    page.get_by_label("Isovalue").wait_for()
    tab.wait(lambda: any("orbitals.grid" in url for url in tab.requests), "the grid to be asked for")
    assert not any(".cube" in url for url in tab.requests)


def test_structure_is_drawn_and_stands_still(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    view = page.locator(".mol").first
    first = tab.settled(view)
    assert len({tuple(point) for point in first.reshape(-1, 3)}) > 50, "there are shaded atoms"
    tab.seen("drawn(30)")  # what would turn by itself would have turned
    assert difference(first, pixels(view)) == 0


def test_close_hydrogens_are_bonded(tab: Tab, server: Server, runs: Runs) -> None:
    at = server.result(runs["sqd"])["geometry"]["coordinates_angstrom"]
    assert np.linalg.norm(np.subtract(*at)) < 0.5**0.5, "nearer than what the engine takes for a bond"
    page = tab.go(f"/runs/{runs['sqd']}")
    picture = tab.settled(page.locator(".mol").first)
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert np.abs(middle - picture[0, 0]).max() > 24, "there is something between them"


def test_one_webgl_context_serves_every_page(tab: Tab, runs: Runs) -> None:
    page = tab.go("/")
    for number in range(5):
        page.get_by_role("navigation").get_by_role("link", name="New").click()
        page.locator(".mol canvas").first.wait_for()
        page.get_by_role("navigation").get_by_role("link", name="Runs").click()
        page.locator(".window .row").filter(has_text="Completed").locator("a.name").nth(number).click()
        page.wait_for_url("**/runs/*")
        page.locator(".mol canvas").first.wait_for()
    assert tab.loads == 1
    assert tab.seen("contextsNow()") == 1


def test_pointing_at_a_scan_moves_the_structure_and_leaving_puts_it_back(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['scan']}?tab=scan")
    view = page.locator(".mol").first
    still = tab.settled(view)
    chart = page.get_by_role("tabpanel").locator(".u-over")
    chart.hover(position={"x": 5, "y": 20})
    tab.changed(view, still)
    close = tab.settled(view)
    expect(page.get_by_role("tabpanel").locator(".readout[aria-live]")).to_contain_text("0.5000 Å")
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] - 5, "y": 20})
    expect(page.get_by_role("tabpanel").locator(".readout[aria-live]")).to_contain_text("2.5000 Å")
    tab.changed(view, close)
    page.mouse.move(2, 2)
    wait_for(lambda: difference(still, pixels(view)) == 0, "the atoms to be where they were")


def test_a_trajectory_is_played_and_a_vibration_swings(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['optimized']}?tab=geometry")
    frame = page.get_by_label("Frame")
    last = int(frame.get_attribute("max") or 0)
    assert last >= 1
    expect(frame).to_have_value(str(last))
    view = page.locator(".mol").first
    optimized = tab.settled(view)
    frame.fill("0")
    tab.changed(view, optimized)
    tab.button("Play").click()
    expect(frame).to_have_value(str(last))
    page.goto(f"/runs/{runs['vibrations']}?tab=vibrations")
    still = tab.settled(view)
    tab.button("Show mode 1").click()
    tab.changed(view, still)
    tab.button("Stop mode 1").click()
    wait_for(lambda: difference(still, pixels(view)) == 0, "the atoms to be where they were")


def test_without_webgl_the_page_says_so_and_shows_everything_else(
    open_tab: OpenTab, server: Server, runs: Runs
) -> None:
    tab = open_tab(server)
    tab.context.add_init_script(NO_WEBGL)
    page = tab.go(f"/runs/{runs['water']}")
    page.get_by_text("This browser shows no 3D").wait_for()
    tab.until("kanadSeen.labels.at(-1) > 1", "the chart")
    assert tab.energy() == pytest.approx(server.get(runs["water"])["energy_hartree"], abs=1e-7)
    page.get_by_label("Orbital", exact=True).select_option("5")
    page.get_by_role("tab", name="Geometry").click()
    expect(page.get_by_label("Coordinates", exact=True).locator("tbody tr")).to_have_count(3)
    page.get_by_role("navigation").get_by_role("link", name="New").click()
    page.get_by_text("This browser shows no 3D").wait_for()
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    tab.status("Completed")
