"""A page in the browser that is listened to: what it logs, what it asks for, what its sockets bring."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from tests.support.server import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, WebSocket

LISTEN = Path(__file__).with_name("listen.js").read_text()
REFUSED = re.compile(r"^Failed to load resource|^WebSocket connection to .* failed")
OURS = re.compile(r"^(data|blob|about):")


class Tab:
    """One tab, in a profile of its own, on the server at `base`."""

    def __init__(self, browser: Browser, base: str, **context: Any) -> None:
        options: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True}
        self.context = browser.new_context(base_url=base, **(options | context))
        self.context.add_init_script(LISTEN)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.host = urlsplit(base).netloc
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.requests: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.sockets = self.loads = 0
        self.refusals_expected = False
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._on_request)
        self.page.on("load", self._on_load)
        self.page.on("websocket", self._on_socket)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not OURS.match(request.url) and urlsplit(request.url).netloc != self.host:
            self.strangers.append(request.url)

    def _on_load(self, _page: Page) -> None:
        self.loads += 1

    def _on_socket(self, socket: WebSocket) -> None:
        self.sockets += 1
        if urlsplit(socket.url).netloc != self.host:
            self.strangers.append(socket.url)
        socket.on("framereceived", self._on_frame)

    def _on_frame(self, payload: str | bytes) -> None:
        if isinstance(payload, str):
            body = json.loads(payload)
            self.events += body if isinstance(body, list) else [body]

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
        """Wait for `condition` while the page goes on telling us what happens in it."""

        def look() -> Any:
            self.page.evaluate("1")  # what the page has told arrives with its answers
            return condition()

        wait_for(look, what, timeout_s)

    def close(self) -> None:
        """Close it; nothing may have gone wrong in it or elsewhere."""
        self.context.close()
        errors = self.errors
        if self.refusals_expected:  # Chromium calls every answer of 400 and more an error
            errors = [text for text in errors if not REFUSED.search(text)]
        assert errors == []
        assert self.strangers == []

    # What a person does

    def go(self, path: str) -> Page:
        """Open a page of the server and wait until it shows its heading."""
        self.page.goto(path)
        self.page.locator("h1").first.wait_for()
        return self.page

    def button(self, name: str) -> Locator:
        """The button of exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def status(self, name: str) -> None:
        """Wait until the run's head shows this state."""
        self.page.locator(".run-head .status").filter(has_text=name).wait_for(timeout=60_000)

    # What a person sees

    def energy(self) -> float:
        """The energy that the run's page shows, hartree."""
        text: str = self.page.locator("[data-figure='energy']").inner_text()
        match = re.match(r"[−-]?[\d.]+", text)
        assert match, text
        return float(match[0].replace("−", "-"))

    def chart_points(self) -> int:
        """How many points the convergence chart says that it has."""
        label = self.page.locator(".plot-body[aria-label^='Convergence']").get_attribute("aria-label") or ""
        match = re.search(r": (\d+) points", label)
        assert match, label
        return int(match[1])

    def chart_rows(self) -> list[list[str]]:
        """The chart's numbers, as its table shows them."""
        figure = self.page.get_by_label("Convergence", exact=True)
        show = figure.get_by_role("button", name="Show data")
        if show.count():
            show.click()
        table = figure.locator(".data-table tbody")
        table.locator("tr").first.wait_for()
        rows: list[list[str]] = table.evaluate(
            "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return rows

    def seen(self, what: str) -> Any:
        """What listen.js knows: `tasks`, `labels`, or the call of one of its functions."""
        return self.page.evaluate(f"kanadSeen.{what}")

    def settled(self, target: Locator) -> np.ndarray[Any, Any]:
        """A screenshot of something drawn in 3D, once it is there and two in a row are the same."""
        target.locator("canvas").first.wait_for()
        before = pixels(target)

        def look() -> np.ndarray[Any, Any] | None:
            nonlocal before
            last, before = before, pixels(target)
            blank = (before == before[0, 0]).all()
            return None if blank or last.shape != before.shape or difference(last, before) else before

        value: np.ndarray[Any, Any] = wait_for(lambda: _some(look()), "a picture that stands still")[0]
        return value

    def changed(self, target: Locator, before: np.ndarray[Any, Any]) -> None:
        """Wait until something looks clearly other than `before`."""

        def look() -> bool:
            now = pixels(target)
            return now.shape != before.shape or difference(before, now) > 0.002

        wait_for(look, "another picture")

    def until(self, condition: str, what: str, timeout_s: float = 30.0) -> Any:
        """The first true value of a JavaScript expression; asked from here, as the pages allow no eval."""
        return wait_for(lambda: self.page.evaluate(condition), what, timeout_s)


def _some(value: np.ndarray[Any, Any] | None) -> list[np.ndarray[Any, Any]]:
    """A list is true or false where an array is neither."""
    return [] if value is None else [value]


def saved(tab: Tab, button: Locator, folder: Path) -> Path:
    """The file that a click on a button gives."""
    with tab.page.expect_download() as waiting:
        button.click()
    path: Path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def pixels(target: Page | Locator) -> np.ndarray[Any, Any]:
    """A screenshot, shape (height, width, 3), 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(target.screenshot())).convert("RGB")).astype(int)


def difference(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """The share of pixels that are clearly not the same."""
    assert one.shape == other.shape
    return float((np.abs(one - other).max(axis=2) > 24).mean())
