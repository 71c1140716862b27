"""Text from users is text; a server with tokens asks for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import H2_HARTREE, MARKUP, Runs
from tests.support.people import token_for
from tests.support.server import Server

pytestmark = pytest.mark.browser

PLACES = [
    "/",
    "/?q=bold",
    "/runs/{markup}",
    "/runs/{markup}?tab=log",
    "/runs/{markup}?tab=input",
    "/compare?ids={markup},{h2}",
    "/new?from={markup}",
    "/queue",
    "/?tag=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
]
ADDRESSES = ["/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/new?smiles=%3Cb%3E", "/runs/%3Cb%3Ex"]


@pytest.mark.parametrize("place", PLACES)
def test_markup_is_shown_as_text(place: str, tab: Tab, runs: Runs) -> None:
    page = tab.go(place.format(**runs))
    page.locator("main").get_by_text("Loading").first.wait_for(state="hidden")
    if "{markup}" in place or place in ("/", "/?q=bold"):
        shown = page.get_by_text("<b>bold</b>").first
        if place.startswith("/new"):
            shown = page.get_by_label("Name", exact=True)
            assert shown.input_value() == MARKUP
        else:
            expect(shown).to_contain_text("<img src=x onerror=")
    assert page.evaluate("document.querySelectorAll('main img, main b > b, .name b, h1 b').length") == 0
    assert "owned" not in page.title() or "<img" in page.title()
    assert not any(url.endswith("/x") for url in tab.requests)


@pytest.mark.parametrize("address", ["/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/new?smiles=%3Cb%3E", "/runs/%3Cb%3Ex"])
def test_markup_in_an_address_does_nothing(address: str, tab: Tab) -> None:
    tab.refusals_expected = True
    alerts: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    tab.page.on("dialog", on_dialog)
    tab.page.goto(address)
    tab.page.locator("main *").first.wait_for()
    tab.page.wait_for_load_state("networkidle")
    assert alerts == []
    assert tab.page.locator("main b").count() == 0 or "/new" in address


def test_the_policy_allows_no_foreign_script(tab: Tab) -> None:
    page = tab.go("/")
    policy = page.request.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert tab.seen("refusedScript()").startswith("script-src")
    tab.errors.clear()  # Chromium tells of what it blocked


def test_sign_in_with_a_token(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    token = token_for(server, "ada")
    tab = open_tab(server)
    tab.refusals_expected = True
    page = tab.page
    page.goto("/")
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.wait_for()
    page.get_by_label("Token").fill("kanad_wrong")
    page.keyboard.press("Enter")
    dialog.get_by_text("does not know this token").wait_for()
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Run H₂ now").click()
    page.wait_for_url("**/runs/*")
    tab.status("Completed")
    assert tab.energy() == pytest.approx(H2_HARTREE, abs=1e-6)
    assert tab.chart_points() >= 2, "the stream was opened with a ticket"
    assert token not in "".join(tab.requests), "no address carries the token"
    tab.button("Sign out").click()
    dialog.wait_for()
    assert page.evaluate("Object.values(sessionStorage).length + Object.values(localStorage).length") <= 1
