"""The page of a run that has ended: its figures, its chart with what it is compared with, and its tabs."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.tab import Tab
from tests.browser.world import Runs
from tests.support.server import Server

pytestmark = pytest.mark.browser

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


def test_chart_has_references_the_band_of_chemical_accuracy_and_an_error_view(tab: Tab, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['vqe']}")
    tab.until("kanadSeen.labels.at(-1) > 2", "the chart")
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
