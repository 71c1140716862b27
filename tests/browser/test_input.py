"""The New page: what is wrong is told at its field; what is set is in the address; code that can be copied."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.tab import Tab
from tests.browser.world import H2_HARTREE, Runs
from tests.support.server import Server

pytestmark = pytest.mark.browser

WATER = "3\nwater\nO  0.000  0.000  0.117\nH  0.000  0.757 -0.467\nH  0.000 -0.757 -0.467\n"
HUBBARD = "&FCI NORB=2,NELEC=2,MS2=0,\n&END\n4.0 1 1 1 1\n4.0 2 2 2 2\n-1.0 2 1 0 0\n"
HUBBARD_HARTREE = 2 - 8**0.5  # two sites, U = 4 t


def told_at(field: Locator, text: str) -> None:
    """Wait until a field says what is wrong with it, where a screen reader finds it."""
    field.and_(field.page.locator("[aria-invalid=true]")).wait_for()
    expect(field.page.locator(f"[id='{field.get_attribute('aria-describedby')}']")).to_contain_text(text)


def test_bad_smiles_is_told_at_its_field(tab: Tab) -> None:
    tab.refusals_expected = True
    page = tab.go("/new")
    tab.button("SMILES").click()
    field = page.get_by_label("SMILES", exact=True)
    field.fill("C1CC(")
    told_at(field, "SMILES")
    field.fill("CCO")
    field.and_(page.locator(":not([aria-invalid])")).wait_for()
    page.get_by_role("heading", name="C₂H₆O").wait_for()


def test_broken_xyz_is_told_at_its_field_with_its_line(tab: Tab) -> None:
    tab.refusals_expected = True
    page = tab.go("/new")
    tab.button("XYZ").click()
    field = page.get_by_label("XYZ, in angstrom")
    field.fill(WATER.replace("0.757 -0.467", "0.757 zero"))
    told_at(field, "line 4")
    field.fill(WATER.replace("O  0.000", "Qq 0.000"))
    told_at(field, "Qq")
    field.fill(WATER)
    page.get_by_role("heading", name="H₂O").wait_for()


def test_refused_run_puts_the_focus_on_the_wrong_field(tab: Tab) -> None:
    tab.refusals_expected = True
    page = tab.go("/new")
    field = page.get_by_label("Multiplicity (2S+1)")
    field.fill("2")
    field.press("Tab")
    told_at(field, "2")
    tab.button("Run").click()
    tab.until("document.activeElement.getAttribute('aria-invalid') === 'true'", "the focus on the wrong field")
    assert urlsplit(page.url).path == "/new"


def test_what_is_half_typed_stays_while_answers_arrive(tab: Tab) -> None:
    tab.refusals_expected = True
    held: list[Route] = []
    tab.page.route("**/api/v1/estimate", lambda route: held.append(route))
    page = tab.go("/new")
    field = page.get_by_label("Multiplicity (2S+1)")
    field.fill("2")
    tab.wait(lambda: held, "the estimate of what was there before")
    held[0].continue_()
    page.get_by_text("Basis functions").wait_for()
    assert field.input_value() == "2"
    page.unroute("**/api/v1/estimate")
    field.press("Tab")
    told_at(field, "2")


def test_dropped_file_is_read(tab: Tab) -> None:
    page = tab.go("/new")
    page.locator("[aria-label=Molecule]").get_by_text("Library").wait_for()
    transfer = page.evaluate_handle(
        "text => { const data = new DataTransfer(); data.items.add(new File([text], 'water.xyz')); return data; }",
        WATER,
    )
    page.locator("[aria-label=Molecule] .panel").dispatch_event("drop", {"dataTransfer": transfer})
    page.get_by_role("heading", name="H₂O").wait_for()
    assert page.get_by_label("XYZ, in angstrom").input_value() == WATER


def test_edited_coordinates_are_what_runs(tab: Tab, server: Server) -> None:
    page = tab.go("/new?library=H2")
    field = page.get_by_label("z of atom 1")
    field.fill("0.80")
    field.press("Tab")
    page.get_by_text("4 basis", exact=False).or_(page.get_by_text("Basis functions")).first.wait_for()
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    spec = server.get(page.url.rpartition("/")[2])["spec"]
    assert spec["molecule"]["atoms"][1]["position_angstrom"][2] == 0.8


def test_a_hamiltonian_is_duplicated_whole_and_runs_again(tab: Tab, server: Server) -> None:
    long = HUBBARD + "0.0 1 1 0 0\n" * 300
    posted = server.post({"molecule": {"fcidump": long}, "method": {"name": "fci"}})
    assert server.ended(posted["id"])["energy_hartree"] == pytest.approx(HUBBARD_HARTREE, abs=1e-8)
    page = tab.go(f"/runs/{posted['id']}")
    page.get_by_role("link", name="Duplicate").click()
    field = page.get_by_label("Hamiltonian, as FCIDUMP")
    assert field.input_value() == long
    page.get_by_role("heading", name="Hamiltonian").wait_for()
    expect(page.get_by_label("Structure", exact=True)).to_contain_text("Orbitals2")
    page.reload()
    assert field.input_value() == long
    tab.refusals_expected = True
    field.fill(HUBBARD.replace("2 1 0 0", "3 1 0 0"))
    told_at(field, "line 5")
    field.fill(HUBBARD)
    field.and_(page.locator(":not([aria-invalid])")).wait_for()
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    tab.status("Completed")
    assert tab.energy() == pytest.approx(HUBBARD_HARTREE, abs=1e-8)


def test_settings_are_in_the_address(tab: Tab) -> None:
    page = tab.go("/new")
    tab.button("H₂O water").click()
    page.get_by_label("Method", exact=True).select_option("ccsd")
    page.get_by_label("Basis set").select_option("6-31g")
    tab.until("location.search.includes('6-31g')", "the address to follow")
    spec = json.loads(parse_qs(urlsplit(page.url).query)["spec"][0])
    assert spec["molecule"] == {"library": "H2O"}
    page.reload()
    page.get_by_label("Basis set").wait_for()
    assert page.get_by_label("Basis set").input_value() == "6-31g"
    assert page.get_by_label("Method", exact=True).input_value() == "ccsd"
    tab.button("H₂O water").and_(page.locator("[aria-pressed=true]")).wait_for()


def test_options_come_from_the_server(tab: Tab, server: Server) -> None:
    methods = server.http.get("/api/v1/methods").json()["methods"]
    page = tab.go("/new")
    choose = page.get_by_label("Method", exact=True)
    offered = choose.locator("option").evaluate_all("options => options.map(option => option.value)")
    assert offered == [method["name"] for method in methods]
    for method in methods:
        choose.select_option(method["name"])
        wait_for_options(tab, method["name"], len(method["options"].get("properties", {})))


def wait_for_options(tab: Tab, method: str, least: int) -> None:
    """Wait until at least so many fields are there for the method's own options."""
    group = tab.page.locator("details", has=tab.page.locator("summary", has_text=": options")).last
    fields = group.locator(".options .field, .options .check")
    tab.wait(lambda: fields.count() >= least, f"the options of {method}")


def test_too_large_is_told_with_what_would_fit(tab: Tab) -> None:
    page = tab.go("/new?library=C2H4")
    page.get_by_label("Method", exact=True).select_option("fci")
    page.get_by_label("Basis set").select_option("6-31g")
    page.get_by_text("Too large:").wait_for()
    assert len(page.locator(".box.failed p").all_inner_texts()) == 2, "the reason and a suggestion"


def test_the_estimate_is_the_servers(tab: Tab, server: Server) -> None:
    page = tab.go("/new?library=H2O")
    page.get_by_label("Method", exact=True).select_option("fci")
    card = page.locator(".panel", has=page.get_by_role("heading", name="Estimate"))
    asked = {"molecule": {"library": "H2O"}, "method": {"name": "fci"}}
    known = server.http.post("/api/v1/estimate", json=asked).raise_for_status().json()
    figures = dict(
        zip(("Basis functions", "Qubits", "Determinants"), ("basis_functions", "qubits", "determinants"), strict=True)
    )
    for label, name in figures.items():
        expect(card.locator("dt", has_text=label)).to_have_count(1 if known[name] is not None else 0)
        if known[name] is not None:
            expect(card.locator(f"dt:text-is('{label}') + dd")).to_have_text(f"{known[name]:,}".replace(",", "\u2009"))
    expect(card.locator("dt:text-is('Memory') + dd")).to_have_text(re.compile("^about [\\d.]+ [MG]B$"))
    expect(card.locator("dt:text-is('Time') + dd")).to_have_text(re.compile(r"\d (s|min|h)\b"))


@pytest.mark.parametrize(("address", "menu"), [("/runs/{h2}", "Export"), ("/new?library=H2", "Copy as")])
def test_copied_python_runs_and_copied_curl_posts(address: str, menu: str, tab: Tab, runs: Runs) -> None:
    page = tab.go(address.format(**runs))
    copied = {}
    for name in ("Python", "curl"):
        tab.button(menu).click()
        tab.button(f"Copy as {name}").click()
        page.locator(".notice").filter(has_text=name).wait_for()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    ran = subprocess.run(
        [sys.executable, "-c", copied["Python"]], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(ran.stdout.split()[-2]) == pytest.approx(H2_HARTREE, abs=1e-6)
    posted = subprocess.run(["bash", "-c", copied["curl"]], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(posted.stdout)["energy_hartree"] == pytest.approx(H2_HARTREE, abs=1e-6)
