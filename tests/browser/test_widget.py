"""The widget of a notebook, drawn by Chromium from what a run really sends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from kanad_server.client import SyncClient, notebook
from kanad_server.client.view import View
from tests.browser.world import MARKUP
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

# As a notebook's page does it (https://anywidget.dev/en/afm): the module's `render` gets a model and an element.
RENDER = """async ([source, view]) => {
  const { default: widget } = await import("data:text/javascript," + encodeURIComponent(source));
  const state = { view }, heard = {};
  const model = {
    get: (name) => state[name],
    on: (name, call) => { heard[name] = call; },
    off: (name, call) => { if (heard[name] === call) delete heard[name]; },
  };
  const el = document.body.appendChild(document.createElement("div"));
  const leave = await widget.render({ model, el });
  window.show = (view) => { state.view = view; heard["change:view"]?.(); };
  window.leave = () => { leave(); return Object.keys(heard); };
}"""


def views(server: Server, **asked: Any) -> list[dict[str, Any]]:
    """What a widget is sent of a run, from first to last."""
    with SyncClient(server.url) as client:
        run = client.submit(**asked)
        sent = [dict(View(run.experiment).plain)]
        client._loop.wait(notebook.follow(run._run, View(run.experiment), sent.append))
    return sent


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, which must come through without an error and without a request."""
    context = browser.new_context()
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("request", lambda request: wrong.append(request.url))
    yield shown
    context.close()
    assert [what for what in wrong if not what.startswith("data:")] == []


def drawn(page: Page, view: dict[str, Any]) -> None:
    page.evaluate(RENDER, [notebook.SCRIPT.read_text(), view])


def test_a_run_is_drawn_as_it_goes_on(server: Server, page: Page) -> None:
    first, *later = views(server, molecule="H2O", method="hf", basis="6-31g", name=MARKUP, fresh=True)
    drawn(page, first)
    expect(page.get_by_text(MARKUP)).to_be_visible()  # as text
    expect(page.locator("polyline")).to_have_count(0)
    for view in later:
        page.evaluate("(view) => window.show(view)", view)
    last = later[-1]
    expect(page.get_by_label("progress")).to_have_js_property("value", 100)
    expect(page.get_by_text("completed 100%")).to_contain_text(f"{last['energy']:.8f} Eh")
    points = page.locator("polyline").get_attribute("points") or ""
    assert len(points.split()) == len(last["values"]) > 1
    assert page.locator("circle").count() == 3
    assert page.locator("line").count() == 2  # O-H, twice
    before = page.locator("circle").first.get_attribute("cx")
    picture = page.locator("svg").nth(1)
    picture.hover(position={"x": 70, "y": 70})
    page.mouse.down()
    picture.hover(position={"x": 120, "y": 80})
    page.mouse.up()
    assert page.locator("circle").first.get_attribute("cx") != before
    assert page.evaluate("window.leave()") == []


def test_a_scan_is_drawn_by_its_points(server: Server, page: Page) -> None:
    task = {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "start": 1.2, "stop": 2.4, "points": 5}
    last = views(server, molecule="LiH", method="hf", task=task, fresh=True)[-1]
    drawn(page, last)
    expect(page.locator("svg title").first).to_contain_text("scan: 5 energies")
    assert len((page.locator("polyline").get_attribute("points") or "").split()) == 5


def test_a_failure_is_said_in_the_widget(server: Server, page: Page) -> None:
    last = views(server, molecule="H2", method={"name": "probe", "steps": 1, "fault": "raise"})[-1]
    drawn(page, last)
    expect(page.get_by_text("failed")).to_contain_text(last["message"])
    assert last["message"]
