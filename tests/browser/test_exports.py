"""What the pages export can be read again, by other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from pyscf.tools import molden

from tests.browser.tab import Tab, saved
from tests.browser.world import Runs
from tests.support.server import Server

pytestmark = pytest.mark.browser


def exported(tab: Tab, name: str, folder: Path) -> Path:
    """A file from the Export menu."""
    tab.button("Export").click()
    return saved(tab, tab.button(name), folder)


def test_chart_as_csv_has_every_number(tab: Tab, server: Server, runs: Runs, tmp_path: Path) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    tab.until("kanadSeen.labels.at(-1) > 1", "the chart")
    chart = page.get_by_label("Convergence", exact=True)
    path = saved(tab, chart.get_by_role("button", name="CSV"), tmp_path)
    assert path.name == "Water-convergence.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    log = [event for event in server.events(runs["water"]) if event["type"] == "convergence"]
    assert [float(row["energy / Eh"]) for row in rows] == [event["energy_hartree"] for event in log]
    assert [int(row["iteration"]) for row in rows] == [event["iteration"] for event in log]


def test_chart_as_png_is_a_picture_of_it(tab: Tab, runs: Runs, tmp_path: Path) -> None:
    page = tab.go(f"/runs/{runs['water']}")
    tab.until("kanadSeen.labels.at(-1) > 1", "the chart")
    chart = page.get_by_label("Convergence", exact=True)
    picture = Image.open(saved(tab, chart.get_by_role("button", name="PNG"), tmp_path)).convert("RGB")
    assert picture.width > 400
    colours = picture.getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 10, "not blank"


def test_molden_is_read_by_pyscf(tab: Tab, server: Server, runs: Runs, tmp_path: Path) -> None:
    tab.go(f"/runs/{runs['water']}")
    path = exported(tab, "orbitals.molden", tmp_path)
    _, energies, coefficients, *_ = molden.load(str(path))
    expected = server.result(runs["water"])["orbitals"]["energies_hartree"]
    assert list(energies) == pytest.approx(expected, abs=1e-5)
    assert coefficients.shape == (13, 13)


def test_xyz_is_read_by_ase(tab: Tab, server: Server, runs: Runs, tmp_path: Path) -> None:
    tab.go(f"/runs/{runs['optimized']}")
    atoms = ase.io.read(exported(tab, "structure.xyz", tmp_path))
    geometry = server.result(runs["optimized"])["geometry"]
    assert atoms.get_chemical_symbols() == geometry["symbols"]
    assert np.allclose(atoms.positions, geometry["coordinates_angstrom"], atol=1e-6)
    frames = ase.io.read(exported(tab, "trajectory.xyz", tmp_path), index=":")
    assert len(frames) >= 2


def test_result_as_json(tab: Tab, server: Server, runs: Runs, tmp_path: Path) -> None:
    tab.go(f"/runs/{runs['sqd']}")
    assert json.loads(exported(tab, "result.json", tmp_path).read_text()) == server.result(runs["sqd"])


PLOTS = {
    "/runs/{excited}?tab=levels": 3,
    "/runs/{excited}?tab=spectrum": 2,
    "/runs/{vibrations}?tab=spectrum": 2,
    "/runs/{optimized}?tab=geometry": 2,
    "/runs/{scan}?tab=scan": 2,
    "/campaigns/{campaign}": 1,
    "/compare?ids={h2},{fci}": 1,
}
"""Addresses with how many plots they show, that of the convergence among them."""


@pytest.mark.parametrize("address", PLOTS)
def test_every_plot_has_png_csv_and_its_data(address: str, tab: Tab, runs: Runs, tmp_path: Path) -> None:
    page = tab.go(address.format(**runs))
    plots = page.locator("figure.plot")
    expect(plots).to_have_count(PLOTS[address])
    for plot in plots.all():
        plot.get_by_role("button", name="Show data").click()
        expect(plot.locator(".data-table tbody tr")).not_to_have_count(0)
        rows = list(csv.reader(io.StringIO(saved(tab, plot.get_by_role("button", name="CSV"), tmp_path).read_text())))
        assert {len(row) for row in rows} == {len(rows[0])}
        picture = Image.open(saved(tab, plot.get_by_role("button", name="PNG"), tmp_path)).convert("RGB")
        colours = picture.getcolors(1 << 20)
        assert picture.width > 300
        assert colours is not None
        assert len(colours) > 10, "not blank"
        assert plot.locator(".data-table th").all_inner_texts() == rows[0]
        expect(plot.locator(".data-table tbody tr")).to_have_count(len(rows) - 1)
