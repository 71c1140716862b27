"""The 3D view: orbitals that differ, one WebGL context for all pages, nothing that moves by itself."""

from __future__ import annotations

import pytest

from tests.browser.tab import Tab, difference, pixels
from tests.browser.world import Runs

pytestmark = pytest.mark.browser


def test_homo_and_lumo_are_drawn_and_differ(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    view = page.locator(".mol").first
    choose = page.get_by_label("Orbital", exact=True)
    names = choose.locator("option").all_inner_texts()
    pictures = {"none": tab.settled(view)}
    for name in ("HOMO", "LUMO"):
        choose.select_option(label=next(text for text in names if f"  {name}  " in text))
        page.get_by_label("Isovalue").wait_for()
        tab.changed(view, pictures["none"])
        pictures[name] = tab.settled(view)
    assert difference(pictures["none"], pictures["HOMO"]) > 0.01, "the HOMO is to be seen"
    assert difference(pictures["none"], pictures["LUMO"]) > 0.01, "the LUMO is to be seen"
    assert difference(pictures["HOMO"], pictures["LUMO"]) > 0.01, "and they are not the same"
    small = pictures["LUMO"]
    page.get_by_label("Isovalue").fill("0.1")
    tab.changed(view, small)


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
    page.wait_for_timeout(500)  # what would turn by itself would have turned
    assert difference(first, pixels(view)) == 0


def test_one_webgl_context_serves_every_page(tab: Tab, runs: Runs) -> None:
    page = tab.go("/")
    for name in ("water", "excited", "vqe", "sqd", "optimized"):
        page.get_by_role("navigation").get_by_role("link", name="New").click()
        page.locator(".mol canvas").first.wait_for()
        page.get_by_role("navigation").get_by_role("link", name="Runs").click()
        page.locator(f"a[href='/runs/{runs[name]}']").click()
        page.locator(".mol canvas").first.wait_for()
    assert tab.loads == 1
    assert tab.seen("contexts") == 1
