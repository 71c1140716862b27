"""Runs, queue, library and comparison: filters in the address, what is chosen, what waits."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab, saved
from tests.browser.test_every_page import violations
from tests.browser.world import Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser


def test_filters_search_and_order_are_in_the_address(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/")
    rows = page.locator(".window .row")
    tab.button("Failed").click()
    failed = server.http.get("/api/v1/experiments?status=failed").json()["items"]
    expect(rows.locator(".status")).to_have_text(["Failed"] * len(failed))
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


def test_every_order_is_the_servers(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/")
    orders = page.get_by_label("Order").locator("option").evaluate_all("all => all.map(one => one.value)")
    assert {"-created_at", "created_at", "-finished_at", "energy_hartree", "-energy_hartree", "name", "-name"} == set(
        orders
    )
    for order in orders:
        page.get_by_label("Order").select_option(order)
        wanted = server.http.get(f"/api/v1/experiments?sort={order}&limit=30").json()["items"]
        ids = ",".join(item["id"] for item in wanted[:8])
        tab.until(f"kanadSeen.rows().slice(0, 8).map(row => row.dataset.id).join() === '{ids}'", order)
    for name, first, second in (("Posted", "-created_at", "created_at"), ("Name", "name", "-name")):
        for order in (first, second):
            page.get_by_role("columnheader").get_by_role("button", name=name).click()
            tab.until(f"location.search === '?sort={order}'", f"{name}, {order}")
            direction = "descending" if order.startswith("-") else "ascending"
            assert page.get_by_role("columnheader").filter(has_text=name).get_attribute("aria-sort") == direction


def test_a_row_has_energy_difference_to_hf_time_and_course(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/?method=vqe")
    row = page.locator(f".row[data-id='{runs['vqe']}']")
    energy = server.get(runs["vqe"])["energy_hartree"]
    expect(row.locator(".c-energy")).to_have_text(f"{energy:.8f}".replace("-", "−"))
    against = 1000 * (energy - server.result(runs["vqe"])["comparisons"]["hf"])
    expect(row.locator(".c-delta")).to_have_text(f"{against:.3f}".replace("-", "−"))
    expect(row.locator(".c-spark path")).to_have_count(1)
    expect(row.locator(".c-time")).to_have_text(re.compile(r"^[\d.]+ s$"))


def test_courses_arrive_while_other_runs_go_on(tab: Tab, runs: Runs, server: Server) -> None:
    beside = [server.post(probe(steps=50_000, step_ms=5, name=f"Beside LiH by VQE {n}"))["id"] for n in range(2)]
    for identity in beside:
        server.running(identity, 100)  # its energy does not change any more
    page = tab.go("/?q=LiH+by+VQE")
    for identity in (*beside, runs["vqe"]):
        page.locator(f".row[data-id='{identity}'] .c-spark path").wait_for()
    for identity in beside:
        expect(page.locator(f".row[data-id='{identity}'] .status")).to_contain_text("Running")
        server.http.post(f"/api/v1/experiments/{identity}/cancel")


def test_no_run_fits(tab: Tab, runs: Runs) -> None:
    page = tab.go("/?q=nothing+is+called+so")
    page.get_by_text("No run fits these filters.").wait_for()
    tab.button("Show all runs").click()
    page.locator(".window .row").first.wait_for()


def test_tag_filters(tab: Tab, runs: Runs, server: Server) -> None:
    page = tab.go("/?q=h₂")
    page.locator(".tag", has_text="first").first.click()
    tab.until("location.search.includes('tag=first')", "the address to follow")
    tagged = server.http.get("/api/v1/experiments?tag=first&q=h₂").json()["items"]
    expect(page.locator(".window .row .name")).to_have_text([item["name"] for item in tagged])


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


def test_compared_settings_that_changed_are_marked_and_all_is_in_the_csv(tab: Tab, runs: Runs, tmp_path: Path) -> None:
    page = tab.go(f"/compare?ids={runs['h2']},{runs['fci']},{runs['water']}")
    table = page.locator("table.differences")
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="method", exact=True))
    expect(row.get_by_role("cell")).to_have_text(["hf", "≠ changed: fci", "hf"])
    expect(row.locator("mark")).to_have_count(1)
    expect(table.get_by_role("rowheader", name="basis", exact=True)).to_have_count(1)
    expect(table.get_by_role("rowheader", name="charge", exact=True)).to_have_count(0)
    page.get_by_label("All settings").check()
    expect(table.get_by_role("rowheader", name="charge", exact=True)).to_have_count(1)
    assert "all=1" in page.url
    button = page.get_by_label("Differences", exact=True).get_by_role("button", name="CSV")
    lines = list(csv.reader(io.StringIO(saved(tab, button, tmp_path).read_text())))
    assert {"method", "basis", "charge", "Energy / Eh"} <= {line[0] for line in lines}
    assert next(line for line in lines if line[0] == "method") == ["method", "hf", "fci", "hf"]
    assert {len(line) for line in lines} == {4}


def test_compared_curves_are_overlaid_whole(tab: Tab, server: Server, runs: Runs, tmp_path: Path) -> None:
    compared = {"vqe": ("LiH by VQE", "vqe"), "water": ("Water", "scf")}
    page = tab.go(f"/compare?ids={','.join(runs[name] for name in compared)}")
    plot = page.locator("figure.plot")
    expect(plot.locator("figcaption .key")).to_have_text([title for title, _ in compared.values()])
    rows = list(csv.DictReader(io.StringIO(saved(tab, plot.get_by_role("button", name="CSV"), tmp_path).read_text())))
    for name, (title, series) in compared.items():
        log = [event for event in server.events(runs[name]) if event.get("series") == series]
        assert [float(row["energy / Eh"]) for row in rows if row["run"] == title] == [
            event["energy_hartree"] for event in log
        ]


def test_campaign_shows_its_progress_its_table_and_its_plot(
    tab: Tab, server: Server, runs: Runs, tmp_path: Path
) -> None:
    page = tab.go("/campaigns")
    page.get_by_role("link", name="Hydrides").click()
    page.wait_for_url(f"**/campaigns/{runs['campaign']}")
    summary = server.http.get(f"/api/v1/campaigns/{runs['campaign']}/summary").json()["items"]
    rows = page.get_by_role("table", name="Runs of this campaign").locator(".window .row")
    expect(rows).to_have_count(len(summary))
    for shown, member in zip(rows.all(), summary, strict=True):
        expect(shown).to_contain_text("Completed")
        expect(shown.locator(".c-energy")).to_have_text(f"{member['energy_hartree']:.8f}".replace("-", "−"))
    assert page.get_by_role("progressbar").first.get_attribute("aria-valuenow") == "100"
    plot = page.get_by_label("Energies", exact=True).locator("figure")
    plot.get_by_label("Molecule", exact=True).select_option("LiH")
    plot.get_by_role("button", name="Show data").click()
    expect(plot.locator(".data-table tbody tr")).to_have_count(2)
    plot.get_by_role("button", name="Time", exact=True).click()
    expect(plot.locator(".plot-body")).to_have_attribute("aria-label", re.compile("^Times of LiH"))
    table = saved(tab, page.locator(".run-head").get_by_role("button", name="CSV"), tmp_path).read_text()
    assert [row["method"] for row in csv.DictReader(io.StringIO(table))] == [member["method"] for member in summary]
    plot.get_by_role("link", name="Compare these").click()
    page.wait_for_url("**/compare?ids=*")
    expect(page.locator("table.differences thead th")).to_have_count(2)


def test_a_campaign_is_followed_while_it_goes_on(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    lengths = (3, 50_000, 50_000, 3)
    body = {
        "name": "Under way",
        "template": probe(step_ms=20, limits={"wall_s": 60, "memory_mb": 1024}),
        "experiments": [{"method": {"steps": steps}} for steps in lengths],
    }
    campaign = server.http.post("/api/v1/campaigns", json=body).raise_for_status().json()["id"]
    tab = open_tab(server)
    page = tab.go(f"/campaigns/{campaign}")
    states = page.get_by_role("table", name="Runs of this campaign").locator(".window .row .status")
    done = page.get_by_role("progressbar", name="Done")
    expect(states).to_have_text([re.compile(state) for state in ("Completed", "Running", "Queued", "Queued")])
    expect(page.locator(".run-head")).to_contain_text("Under way")
    shown = float(done.get_attribute("aria-valuenow") or 0)
    assert 25 <= shown < 50
    second, third = (
        member["experiment_id"]
        for member in server.http.get(f"/api/v1/campaigns/{campaign}/summary").json()["items"][1:3]
    )
    server.http.post(f"/api/v1/experiments/{second}/cancel")
    expect(states).to_have_text([re.compile(state) for state in ("Completed", "Cancelled", "Running", "Queued")])
    tab.until(f"Number(document.querySelector('.share [role=progressbar]').ariaValueNow) > {shown}", "progress")
    assert violations(tab) == [], "while it goes on"
    server.http.post(f"/api/v1/experiments/{third}/cancel")
    expect(states).to_have_text([re.compile(state) for state in ("Completed", "Cancelled", "Cancelled", "Completed")])
    expect(done).to_have_attribute("aria-valuenow", "100")
    expect(page.locator(".run-head")).to_contain_text("Every run has ended")
    assert tab.loads == 1


def test_queue_shows_slots_and_the_line(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    first, second, third = (server.post(probe(steps=50_000, step_ms=20, name=f"Number {n}"))["id"] for n in range(3))
    server.running(first)
    tab = open_tab(server)
    page = tab.go("/queue")
    expect(page.locator("main")).to_contain_text(str(server.worker_of(first)))
    page.locator(f"a[href='/runs/{first}']").first.wait_for()
    figures = page.locator(".slots .card").filter(has_text="Number 0").locator(".parts span")
    expect(figures).to_have_count(3)
    pid, cpu, memory = figures.all_inner_texts()
    assert pid == f"pid {server.worker_of(first)}"
    assert re.fullmatch(r"\d[\d.]* s of CPU", cpu)
    resident = next(slot["memory_mb"] for slot in server.system()["slots"])
    assert int(memory.removesuffix(" MB")) == pytest.approx(resident, rel=0.3)
    waiting = page.locator(f"main a[href='/runs/{second}'], main a[href='/runs/{third}']")
    expect(waiting).to_have_text(["Number 1", "Number 2"])
    assert violations(tab) == []
    page.set_viewport_size({"width": 320, "height": 900})
    tab.until("innerWidth === 320", "the width")
    assert tab.seen("wide()") == []
    page.set_viewport_size({"width": 1280, "height": 900})
    field = page.get_by_label("Priority of Number 2")
    field.fill("7")
    field.press("Enter")
    expect(waiting).to_have_text(["Number 2", "Number 1"])
    assert server.get(third)["priority"] == 7
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Priority of Number 2"
    tab.refusals_expected = True
    field.fill("1000")
    field.press("Enter")
    page.locator(".notice").filter(has_text="100").wait_for()
    expect(field).to_have_value("7")
    page.get_by_label("Cancel Number 2").click()
    expect(waiting).to_have_text(["Number 1"])
    assert server.get(third)["status"] == "cancelled"


def test_waits_are_told_as_far_down_the_line_as_it_is_looked_at(
    start_server: Callable[..., Server], open_tab: OpenTab
) -> None:
    server = start_server("--slots", "1")
    server.running(server.post(probe(steps=50_000, step_ms=20, name="Ahead"))["id"])
    specs = [
        {
            "molecule": {"xyz": f"2\n\nH 0 0 0\nH 0 0 {0.7 + number / 1000}"},
            "method": {"name": "hf"},
            "name": f"{number}",
        }
        for number in range(120)
    ]
    server.http.post("/api/v1/experiments/batch", json={"experiments": specs}).raise_for_status()
    tab = open_tab(server)
    page = tab.go("/queue")
    first = page.locator(".line-rows .window .row").first.locator(".c-energy")
    expect(first).to_have_text(re.compile("up to"))
    asked = sum(url.endswith("/estimate") for url in tab.requests)
    assert asked < 100, "only for those that are in view"
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    last = page.locator(".line-rows .window .row", has=page.locator("a", has_text=re.compile("^119$")))
    expect(last.locator(".c-energy")).to_have_text(re.compile("s|min"), timeout=30_000)
    tab.wait(lambda: sum(url.endswith("/estimate") for url in tab.requests) == 121, "every work to be priced once")


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
    expect(page.locator("main")).to_contain_text("How to cite")
    for package in ("preact", "uplot", "3dmol"):
        expect(page.locator("main")).to_contain_text(package)


def test_unknown_page_and_unknown_run_say_so(tab: Tab) -> None:
    tab.refusals_expected = True
    page = tab.page
    page.goto("/runs/nothing")
    page.get_by_role("alert").filter(has_text="no experiment").wait_for()
