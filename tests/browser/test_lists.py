"""Runs, queue, library and comparison: filters in the address, what is chosen, what waits."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser


def test_filters_search_and_order_are_in_the_address(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/")
    rows = page.locator(".window .row")
    tab.button("Failed").click()
    expect(rows.locator(".status")).to_have_text(["Failed"])
    tab.button("All").click()
    page.get_by_label("Method", exact=True).select_option("sqd")
    expect(rows.locator(".name")).to_have_text(["H₂ by SQD"])
    page.get_by_label("Method", exact=True).select_option("")
    page.get_by_label("Search by name").fill("h₂")
    tab.until("location.search.includes('q=')", "the address to follow")
    page.get_by_label("Order").select_option("name")
    wanted = server.http.get("/api/v1/experiments?q=h₂&sort=name&limit=200").json()["items"]
    expect(rows.locator(".name")).to_have_text([item["name"] for item in wanted])
    assert parse_qs(urlsplit(page.url).query) == {"q": ["h₂"], "sort": ["name"]}
    page.reload()
    rows.first.wait_for()
    assert tab.seen("names()") == [item["name"] for item in wanted]
    page.get_by_role("columnheader").get_by_role("button", name="Energy").click()
    tab.until("location.search.includes('energy_hartree')", "the order of energies")
    assert page.get_by_role("columnheader").filter(has_text="Energy").get_attribute("aria-sort") == "ascending"


def test_no_run_fits(tab: Tab, runs: Runs) -> None:
    page = tab.go("/?q=nothing+is+called+so")
    page.get_by_text("No run fits these filters.").wait_for()
    tab.button("Show all runs").click()
    page.locator(".window .row").first.wait_for()


def test_tag_filters(tab: Tab, runs: Runs) -> None:
    page = tab.go("/")
    page.locator(".tag", has_text="first").first.click()
    expect(page.locator(".window .row .name")).to_have_text(["H₂, Hartree–Fock"])
    assert "tag=first" in page.url


def test_new_runs_and_their_ends_come_by_themselves(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/")
    page.locator(".window .row").first.wait_for()
    identity = server.post(probe(steps=50_000, step_ms=20, name="Came by itself"))["id"]
    row = page.locator(f".row[data-id='{identity}']")
    row.locator(".status", has_text="Running").wait_for()
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    row.locator(".status", has_text="Cancelled").wait_for()
    assert tab.loads == 1


def test_empty_server_offers_one_run(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    tab = open_tab(start_server("--slots", "1"))
    page = tab.go("/")
    page.get_by_text("Nothing has run here yet").wait_for()
    page.get_by_role("button", name="Run H₂ now").click()
    page.wait_for_url("**/runs/*")
    tab.status("Completed")


def test_chosen_runs_are_compared_by_address(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/")
    for name in ("h2", "fci"):
        page.locator(f".row[data-id='{runs[name]}'] input").check()
    page.get_by_text("2 runs chosen").wait_for()
    tab.button("Compare").click()
    page.wait_for_url("**/compare?ids=*")
    assert parse_qs(urlsplit(page.url).query)["ids"] == [f"{runs['h2']},{runs['fci']}"]
    page.reload()
    table = page.locator("main table").first
    for name in ("h2", "fci"):
        energy = server.get(runs[name])["energy_hartree"]
        expect(table).to_contain_text(f"{energy:.8f}".replace("-", "−"))
    difference = 1000 * (server.get(runs["fci"])["energy_hartree"] - server.get(runs["h2"])["energy_hartree"])
    expect(table).to_contain_text(f"{difference:.3f}".replace("-", "−"))


def test_queue_shows_slots_and_the_line(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    first, second, third = (server.post(probe(steps=50_000, step_ms=20, name=f"Number {n}"))["id"] for n in range(3))
    server.running(first)
    tab = open_tab(server)
    page = tab.go("/queue")
    expect(page.locator("main")).to_contain_text(str(server.worker_of(first)))
    page.locator(f"a[href='/runs/{first}']").first.wait_for()
    waiting = page.locator(f"main a[href='/runs/{second}'], main a[href='/runs/{third}']")
    expect(waiting).to_have_text(["Number 1", "Number 2"])
    server.http.post(f"/api/v1/experiments/{second}/cancel")
    expect(waiting).to_have_text(["Number 2"])


def test_library_leads_to_a_new_run(tab: Tab, server: Server) -> None:
    page = tab.go("/library")
    molecules = server.http.get("/api/v1/molecules").json()["items"]
    uses = page.get_by_role("main").locator("a[href^='/new?library=']")
    expect(uses).to_have_count(len(molecules))
    page.get_by_label("Use water", exact=True).click()
    page.wait_for_url("**/new?library=H2O")
    page.get_by_role("heading", name="H₂O").wait_for()


def test_about_names_versions_and_licences(tab: Tab, server: Server) -> None:
    page = tab.go("/about")
    for version in server.system()["versions"].values():
        expect(page.locator("main")).to_contain_text(version)
    for package in ("preact", "uplot", "3dmol"):
        expect(page.locator("main")).to_contain_text(package)


def test_unknown_page_and_unknown_run_say_so(tab: Tab) -> None:
    tab.refusals_expected = True
    page = tab.page
    page.goto("/runs/nothing")
    page.get_by_role("alert").filter(has_text="no experiment").wait_for()
