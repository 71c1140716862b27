"""Chromium, a server, and finished runs of every kind, shared by the tests of this folder: `make test-browser`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.tab import Tab
from tests.browser.world import Runs, post_all
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The other tests are collected on machines without a browser.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# WebGL without a graphics card, and everything else by the processor: what it would do in the card's place is slower.
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
           "--disable-gpu-rasterization", "--disable-gpu-compositing"]  # fmt: skip


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, driven by playwright-core."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)

    assert CHROMIUM, "needs Chromium: make test-browser installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two slots for all tests that do not hurt it."""
    running = Server(tmp_path_factory.mktemp("server"), "--slots", "2")
    running.ready()
    yield running
    assert running.stop() == 0, running.log()


@pytest.fixture(scope="package")
def runs(server: Server) -> Runs:
    """Runs that have ended, one for each thing that a page can show."""
    return post_all(server)


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Opens tabs on a server; each is checked for errors and foreign requests when the test ends."""
    opened: list[Tab] = []

    def open_one(server: Server, **context: Any) -> Tab:
        opened.append(Tab(browser, server.url, **context))
        return opened[-1]

    yield open_one
    for tab in opened:
        tab.close()


@pytest.fixture
def tab(open_tab: OpenTab, server: Server) -> Tab:
    """A tab on the shared server."""
    return open_tab(server)


@pytest.fixture
def slow_server(start_server: Callable[..., Server], tmp_path: Path) -> Server:
    """A server with one slot of the test's own."""
    return start_server("--slots", "1")
