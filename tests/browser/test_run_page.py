"""The page of a run that has ended: its figures, its chart with what it is compared with, and its tabs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, Route, expect

from kanad_server import clock
from kanad_server.store import SqliteStore
from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser

EV_PER_HARTREE = 27.211386245981  # CODATA 2022
ALWAYS = ["Log", "Input", "Provenance"]
TABS = {
    "h2": ["Levels", "Geometry", *ALWAYS],
    "excited": ["Levels", "Spectrum", "Geometry", *ALWAYS],
    "vibrations": ["Levels", "Spectrum", "Geometry", "Vibrations", *ALWAYS],
    "scan": ["Levels", "Geometry", "Scan", *ALWAYS],
    "vqe": ["Levels", "Geometry", "Circuit", *ALWAYS],
    "failed": ["Log", "Input"],
}


def text_of(value: float, digits: int) -> str:
    """A number as the pages write it."""
    return f"{value:.{digits}f}".replace("-", "−")


@pytest.mark.parametrize("name", TABS)
def test_there_is_a_tab_for_what_has_content_and_no_other(name: str, tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs[name]}")
    expect(page.get_by_role("tab")).to_have_text(TABS[name])


def test_the_tab_of_an_address_is_in_view_on_a_phone(tab: Tab, runs: Runs) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.go(f"/runs/{runs['vqe']}?tab=provenance")
    chosen = page.get_by_role("tab", name="Provenance")
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        page.reload()
        chosen.wait_for()
        tab.seen("drawn(3)")
        box = chosen.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_key_figures_are_the_results_with_their_units(tab: Tab, server: Server, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['vqe']}")
    result = server.result(runs["vqe"])
    energy, known = result["energy_hartree"], result["comparisons"]
    figures = page.locator(".figures > div")
    expect(figures.filter(has_text="vs Hartree–Fock")).to_contain_text(
        f"{text_of(1000 * (energy - known['hf']), 3)}mEh"
    )
    expect(figures.filter(has_text="vs exact (FCI)")).to_contain_text(
        f"+{text_of(1000 * (energy - known['fci']), 3)}mEh"
    )
    expect(figures.filter(has_text="Energy").first).to_contain_text(f"{text_of(energy, 8)}Eh")
    experiment = server.get(runs["vqe"])
    expect(page.locator(".run-head")).to_contain_text(experiment["created_at"][:10])


def test_iteration_and_gradient_are_told(tab: Tab, server: Server, runs: Runs) -> None:
    identity = server.post(probe(steps=50_000, step_ms=20, name="Told"))["id"]
    server.running(identity)
    figures = tab.go(f"/runs/{identity}").locator(".figures > div")
    iteration = figures.filter(has_text="Probe iteration").locator("dd")
    before = int(iteration.inner_text())
    tab.wait(lambda: int(iteration.inner_text()) > before, "the next iteration")
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    tab.status("Cancelled")
    points = [event for event in server.events(identity) if event["type"] == "convergence"]
    expect(iteration).to_have_text(str(points[-1]["iteration"]))
    tab.go(f"/runs/{runs['optimized']}")
    gradient = server.result(runs["optimized"])["optimization"]["max_gradient_hartree_per_bohr"]
    mantissa, _, exponent = f"{gradient:.1e}".partition("e-")
    raised = exponent.lstrip("0").translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    expect(figures.filter(has_text="Max gradient").locator("dd")).to_have_text(
        f"{mantissa}\u2009×\u200910⁻{raised}Eh/a₀"
    )


def test_chart_has_references_the_band_of_chemical_accuracy_and_an_error_view(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['vqe']}")
    tab.until("kanadSeen.labels.at(-1) > 1", "the chart")
    chart = page.get_by_label("Convergence", exact=True)
    legend = chart.locator("figcaption")
    for name in ("Hartree–Fock", "Exact (FCI)", "Chemical accuracy, ±1 kcal/mol"):
        expect(legend).to_contain_text(name)
    drawing = chart.locator(".plot-body")
    before = tab.settled(drawing)
    tab.button("Error, log").click()
    expect(legend).to_have_text("Chemical accuracy, 1 kcal/mol")
    tab.changed(drawing, before)
    tab.button("SCF").click()
    tab.until("/SCF energy/.test(document.querySelector('.plot-body').getAttribute('aria-label'))", "the other series")


def test_levels_are_drawn_at_the_energies_of_the_result(tab: Tab, server: Server, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['excited']}?tab=levels")
    result = server.result(runs["excited"])
    energies = [EV_PER_HARTREE * energy for energy in result["orbitals"]["energies_hartree"]]
    homo = sum(filling > 0.5 for filling in result["orbitals"]["occupations"])
    orbitals = drawn_levels(page, "Orbital energies in electronvolt")
    shown = energies[len(energies) - len(orbitals) :]  # without the core
    assert len(shown) == len(energies) - 1
    assert [value for _, value, _ in orbitals] == pytest.approx(shown, abs=0.006)
    assert [name for name, _, _ in orbitals if name in ("HOMO", "LUMO")] == ["HOMO", "LUMO"]
    assert next(value for name, value, _ in orbitals if name == "HOMO") == pytest.approx(energies[homo - 1], abs=0.006)
    states = drawn_levels(page, "Excitation energies in electronvolt")
    lowest = result["states"][0]["energy_hartree"]
    above = [EV_PER_HARTREE * (state["energy_hartree"] - lowest) for state in result["states"]]
    assert [value for _, value, _ in states] == pytest.approx(above, abs=0.006)
    for levels in (orbitals, states):
        values, heights = [value for _, value, _ in levels], [height for _, _, height in levels]
        scale = (heights[-1] - heights[0]) / (values[-1] - values[0])
        drawn = [heights[0] + scale * (value - values[0]) for value in values]
        assert heights == pytest.approx(drawn, abs=0.5), "each is as high as its energy"
        assert scale < 0, "upwards"
    rows = page.get_by_role("region", name="Electronic states").locator("tbody tr")
    expect(rows).to_have_count(len(result["states"]))
    for row, state in zip(rows.all(), result["states"], strict=True):
        expect(row).to_contain_text(text_of(state["energy_hartree"], 8))


def drawn_levels(page: Page, label: str) -> list[tuple[str, float, float]]:
    """The levels of a diagram from low to high: name, value, and height in the drawing."""
    drawing = page.get_by_role("img", name=label)
    drawing.wait_for()
    levels: list[tuple[str, float]] = drawing.locator("g:has(path)").evaluate_all(
        "all => all.map(one => [one.querySelector('text').textContent, one.querySelector('line').y1.baseVal.value])"
    )
    parts = [(text.rpartition(" "), height) for text, height in levels]
    return [(name.strip(), float(value.replace("−", "-")), height) for (name, _, value), height in parts]


def test_spectrum_is_read_in_three_units_and_two_shapes(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['excited']}?tab=spectrum")
    plot = page.get_by_role("tabpanel").locator("figure")
    chart = plot.get_by_role("application")
    for unit in ("nm", "cm⁻¹", "eV"):
        tab.button(unit).click()
        chart.focus()
        page.keyboard.press("ArrowRight")
        expect(plot.locator(".readout[aria-live]")).to_contain_text(unit)
    before = tab.settled(plot)
    tab.button("Lorentzian").click()
    tab.changed(plot, before)
    wide = tab.settled(plot)
    plot.get_by_label("Full width at half maximum").select_option("0.1")
    tab.changed(plot, wide)


def test_the_time_left_is_told_only_where_the_server_tells_it(tab: Tab, server: Server) -> None:
    identity = server.post(probe(steps=50_000, step_ms=20, name="How long"))["id"]
    server.running(identity)
    page = tab.go(f"/runs/{identity}")
    tab.status("Running")
    assert server.get(identity)["progress"]["eta_s"] is None
    assert "left" not in page.locator(".run-head").inner_text()

    def with_time_left(route: Route) -> None:
        response = route.fetch()
        experiment = response.json()
        experiment["progress"]["eta_s"] = 90.0
        route.fulfill(response=response, json=experiment)

    page.route(f"**/api/v1/experiments/{identity}", with_time_left)
    expect(page.locator(".run-head")).to_contain_text("about 1 min 30 s left")
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    tab.status("Cancelled")
    expect(page.locator(".run-head")).not_to_contain_text("left")


def test_times_are_the_servers_where_the_browsers_clock_is_wrong(open_tab: OpenTab, server: Server, runs: Runs) -> None:
    identity = server.post(probe(steps=50_000, step_ms=20, name="Elsewhen"))["id"]
    server.running(identity)
    tab = open_tab(server)
    tab.context.add_init_script("const now = Date.now; Date.now = () => now() + 7_200_000;")
    page = tab.go(f"/runs/{identity}")
    tab.status("Running")
    expect(page.locator(".run-head .under")).to_contain_text(re.compile(r"sto-3g[\d.]+ s"))
    server.http.post(f"/api/v1/experiments/{identity}/cancel")
    tab.status("Cancelled")


def test_a_thinned_log_says_what_is_gone(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    identity = server.post(probe(steps=60, step_ms=0, name="Old"))["id"]
    server.ended(identity)
    assert server.stop() == 0

    async def thin() -> None:
        async with SqliteStore(server.data / "kanad.sqlite") as store:
            assert await store.thin(clock.days_ago(-1), 10) == 1

    with ThreadPoolExecutor(1) as aside:  # this thread has the loop of playwright
        aside.submit(asyncio.run, thin()).result()
    server.start()
    server.ready()
    [gone] = [event for event in server.events(identity) if event["type"] == "thinned"]
    tab = open_tab(server)
    page = tab.go(f"/runs/{identity}?tab=log")
    expect(page.get_by_role("tabpanel")).to_contain_text(f"Events {gone['first_seq']} to {gone['seq']} were taken out")
    expect(page.get_by_label("Convergence", exact=True)).to_contain_text(f"{gone['removed']} iterations are not kept")
    tab.until(f"kanadSeen.labels.at(-1) === {60 - gone['removed']}", "the points that are left")


def test_log_input_circuit_and_provenance_say_what_the_server_knows(tab: Tab, server: Server, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['vqe']}?tab=log")
    panel = page.get_by_role("tabpanel")
    told = [event for event in server.events(runs["vqe"]) if event["type"] in ("status", "stage", "log")]
    expect(panel.locator("li time")).to_have_count(len(told))
    times = panel.locator("li time").evaluate_all("times => times.map(time => time.dateTime)")
    assert times == [event["time"] for event in told]
    page.get_by_role("tab", name="Input").click()
    shown = json.loads(panel.locator("pre").inner_text())
    assert shown["method"].items() <= server.get(runs["vqe"])["spec"]["method"].items()
    assert shown["molecule"] == {"library": "LiH", **{k: v for k, v in shown["molecule"].items() if k != "library"}}
    page.get_by_role("tab", name="Circuit").click()
    expect(panel).to_contain_text(f"Qubits{server.result(runs['vqe'])['circuit']['qubits']}")
    page.get_by_role("tab", name="Provenance").click()
    for name, version in server.result(runs["vqe"])["provenance"]["versions"].items():
        expect(panel).to_contain_text(f"{name}{version}")
    expect(panel).to_contain_text(server.get(runs["vqe"])["spec_hash"])
