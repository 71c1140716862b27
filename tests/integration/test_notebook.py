"""A run in a notebook: a live widget, a still picture without one, tables and structures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kanad_server.client import Client, SyncClient, notebook
from kanad_server.client.view import MAX_POINTS, View
from kanad_server.wire import Convergence
from tests.support.server import Server, probe

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_an_executed_notebook_shows_a_run_to_its_end(server: Server) -> None:
    pytest.importorskip("anywidget")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [
        f"from kanad_server.client import SyncClient\nclient = SyncClient({server.url!r})\n"
        f"held = [client.submit({probe(steps=100_000, step_ms=10)!r}) for _ in range(2)]",  # both slots
        "run = client.submit(molecule='LiH', method='vqe')\nrun",
        "for other in held: other.cancel()\n"
        "result = run.result()\nprint(len(run.to_dataframe()), result.to_ase().get_potential_energy())",
        "import time\nwhile run._loop._beside: time.sleep(0.05)\nclient.close()",
        "import ipywidgets, json\nall = ipywidgets.Widget.widgets.values()\n"
        "print(json.dumps([widget.view for widget in all if widget.has_trait('view')]))",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    shown = book.cells[1].outputs[0]["data"]
    states = book.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    first = states[shown[WIDGET]["model_id"]]["state"]
    assert first["view"]["status"] in ("queued", "running")
    assert "render" in first["_esm"]
    (view,) = json.loads(book.cells[4].outputs[0]["text"])  # what the kernel sent last; nbclient drops it, pages do not
    assert (view["status"], view["percent"], view["series"]) == ("completed", 100, "vqe")
    assert view["structure"]["symbols"] == ["Li", "H"]
    assert view["values"][-1] == pytest.approx(view["energy"], abs=1e-8)
    rows, energy = book.cells[2].outputs[0]["text"].split()
    assert int(rows) >= 10
    assert float(energy) == pytest.approx(view["energy"] * 27.211386, abs=1e-3)


def test_without_widgets_a_run_is_a_still_picture(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "has_widgets", lambda: False)
    with SyncClient(server.url) as client:
        run = client.submit(probe(steps=5, name="<script>alert(1)</script>"))
        run.ended()
        shown = run._repr_mimebundle_()
    assert "completed, 100%" in shown["text/html"]
    assert "<polyline" in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert shown["text/plain"].startswith(f"<Run {run.id} completed")


async def test_a_run_of_the_async_client_is_followed_in_its_own_loop(server: Server) -> None:
    pytest.importorskip("anywidget")
    async with Client(server.url) as client:
        run = await client.submit(probe(steps=5))
        assert WIDGET in run._repr_mimebundle_()[0]
        assert run._shown is not None
        async with asyncio.timeout(30):
            await run._shown
        table = await run.to_dataframe()
    assert list(table["seq"]) == list(range(1, len(table) + 1))
    assert set(table["type"]) == {"status", "stage", "convergence"}


def test_closing_the_client_ends_what_is_shown(server: Server) -> None:
    seen: list[dict[str, Any]] = []
    client = SyncClient(server.url)
    run = client.submit(probe(steps=100_000, step_ms=10))
    client._loop.start(notebook.follow(run._run, View(run.experiment), seen.append))
    client.cancel(run.id)
    client.close()
    assert not client._loop._beside


def test_a_view_keeps_as_many_points_as_it_can_draw(server: Server) -> None:
    with SyncClient(server.url) as client:
        view = View(client.submit(probe(steps=0)).experiment)
    for step in range(MAX_POINTS + 10):
        view.take(Convergence(series="scf", iteration=step, energy_hartree=-float(step)))
    assert len(view.plain["values"]) == MAX_POINTS
    assert view.plain["energy"] == -float(MAX_POINTS + 9)


def test_cclib_takes_a_run_and_reads_what_it_wrote_of_it(server: Server, tmp_path: Path) -> None:
    ccio = pytest.importorskip("cclib.io")
    asked: dict[str, Any] = {"molecule": "H2O", "method": "ccsd", "basis": "sto-3g"}
    with SyncClient(server.url) as client:
        run = client.submit(**asked)
        result, data = run.result(), run.to_cclib()
        vibrating = client.submit(**asked | {"method": "hf", "task": "frequencies"}).to_cclib()
        excited = client.submit(**asked | {"method": "hf", "task": "excited_states"}).to_cclib()
    assert (data.natom, data.charge, data.mult, list(data.atomnos)) == (3, 0, 1, [8, 1, 1])
    assert data.ccenergies[-1] / 27.211386245988 == pytest.approx(result.energy_hartree, abs=1e-9)
    assert data.scfenergies[-1] / 27.211386245988 == pytest.approx(result.components["hf_hartree"], abs=1e-9)
    assert list(data.homos) == [4]
    assert data.metadata["energy_hartree"] == result.energy_hartree
    assert len(vibrating.vibfreqs) == 3
    assert vibrating.enthalpy - vibrating.freeenergy == pytest.approx(vibrating.temperature * vibrating.entropy)
    assert len(excited.etenergies) == len(excited.etoscs)
    ccio.ccwrite(data, "cjson", str(tmp_path / "run.cjson"))
    read = ccio.ccread(str(tmp_path / "run.cjson"), cjson=True)
    assert read["ccenergies"] == pytest.approx(list(data.ccenergies))
    assert read["atomnos"] == [8, 1, 1]
