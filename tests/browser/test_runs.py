"""From the first page to an energy; cancel, duplicate, retry; reload and kill -9 while it runs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pyscf import gto, scf

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.test_every_page import violations
from tests.browser.world import H2_HARTREE, Runs
from tests.support.server import Server, probe

pytestmark = pytest.mark.browser


def check_whole(tab: Tab, log: list[dict[str, Any]]) -> None:
    """The chart has each point of the log once, in its order."""
    points = [event for event in log if event["type"] == "convergence"]
    rows = tab.chart_rows()
    assert [(int(row[1]), int(row[2])) for row in rows] == [(event["attempt"], event["iteration"]) for event in points]
    assert [float(row[3]) for row in rows] == pytest.approx([event["energy_hartree"] for event in points], abs=1e-12)


CYCLE_BY_CYCLE = """
import sys

if any("forkserver" in word for word in sys.orig_argv):
    import time
    from pathlib import Path

    from kanad_solvers import self_consistent

    report = self_consistent._Meter.__call__

    def report_and_wait(self, cycle):
        report(self, cycle)
        while not Path(__file__).with_name(f"after-{self._iteration}").exists():
            time.sleep(0.01)

    self_consistent._Meter.__call__ = report_and_wait
"""
"""Makes every SCF of a server wait after each of its cycles, until a file allows the next one."""


def test_h2_in_three_clicks_grows_cycle_by_cycle(
    tmp_path: Path, start_server: Callable[..., Server], open_tab: OpenTab
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CYCLE_BY_CYCLE)
    server = start_server("--slots", "1", PYTHONPATH=str(tmp_path))
    tab = open_tab(server)
    page = tab.go("/")
    page.get_by_role("link", name="New run").click()
    tab.button("H₂ hydrogen").click()
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    seen = []
    for cycle in (1, 2):
        tab.until(f"kanadSeen.labels.at(-1) === {cycle}", f"the point of cycle {cycle}")
        seen.append((page.locator(".run-head .status").inner_text(), tab.chart_points(), tab.energy()))
        (tmp_path / f"after-{cycle}").touch()
    assert [(status, points) for status, points, _ in seen] == [("Running", 1), ("Running", 2)]
    for cycle in range(3, 50):
        (tmp_path / f"after-{cycle}").touch()
    tab.status("Completed")
    assert tab.seen("labels")[:3] == [0, 1, 2], "it began empty and grew while it was watched"
    assert tab.sockets == 2, "the list's line and the run's; each brought all that it had"
    hydrogen = gto.M(atom="H 0 0 0; H 0 0 0.7414", basis="sto-3g", verbose=0)
    assert tab.energy() == pytest.approx(scf.RHF(hydrogen).kernel(), abs=1e-6)
    check_whole(tab, server.events(page.url.rpartition("/")[2]))
    log = [event for event in server.events(page.url.rpartition("/")[2]) if event["type"] == "convergence"]
    assert [energy for _, _, energy in seen] == pytest.approx([event["energy_hartree"] for event in log[:2]], abs=1e-7)


def test_h2_grows_from_nothing_while_it_is_watched(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    ahead = server.post(probe(steps=10_000, step_ms=10, name="Ahead in the line"))["id"]
    server.running(ahead)
    tab = open_tab(server)
    page = tab.go("/new?library=H2")
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    tab.status("Queued")
    page.get_by_text("The chart begins when the run does").wait_for()
    assert tab.chart_points() == 0
    server.http.post(f"/api/v1/experiments/{ahead}/cancel")
    tab.status("Completed")
    assert tab.energy() == pytest.approx(H2_HARTREE, abs=1e-6)
    tab.until("kanadSeen.labels.at(-1) >= 2", "the chart")
    sizes = tab.seen("labels")
    assert sizes[0] == 0
    assert sizes[-1] == tab.chart_points() >= 2
    assert tab.sockets == 1, "one line brought it all"


def test_chart_grows_while_it_runs_then_cancel(tab: Tab, server: Server) -> None:
    identity = long_run(server)
    tab.go(f"/runs/{identity}")
    tab.status("Running")
    tab.until("kanadSeen.labels.length > 10", "the chart to grow")
    sizes = tab.seen("labels")
    assert all(before < after for before, after in pairwise(sizes)), "it only grows"
    assert violations(tab) == [], "while it runs"
    tab.button("Cancel").click()
    tab.status("Cancelled")
    tab.button("Retry").wait_for()
    assert tab.button("Cancel").count() == 0
    log = server.events(identity)
    assert log[-1]["status"] == "cancelled"
    check_whole(tab, log)
    assert "Run cancelled" in tab.page.locator("[aria-live=polite].visually-hidden").inner_text()


def test_duplicate_is_the_same_question_again(tab: Tab, server: Server, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['vqe']}")
    page.get_by_role("link", name="Duplicate").click()
    page.wait_for_url("**/new?**")
    assert page.get_by_label("Method", exact=True).input_value() == "vqe"
    tab.button("LiH lithium hydride").and_(page.locator("[aria-pressed=true]")).wait_for()
    tab.button("Run").click()
    page.wait_for_url("**/runs/*")
    tab.status("Completed")
    identity = page.url.rpartition("/")[2]
    assert identity != runs["vqe"]
    assert server.get(identity)["spec_hash"] == server.get(runs["vqe"])["spec_hash"]
    assert server.get(identity)["energy_hartree"] == server.get(runs["vqe"])["energy_hartree"]


def test_failed_run_tells_its_cause_what_to_do_and_retry(tab: Tab, server: Server, runs: Runs) -> None:
    page = tab.go(f"/runs/{runs['failed']}")
    tab.status("Failed")
    told = page.get_by_role("alert")
    assert "SIGSEGV" in told.inner_text()
    assert "Retry it" in told.inner_text()
    attempts = server.get(runs["failed"])["attempt"]
    tab.button("Retry").click()
    page.get_by_text(f"attempt {attempts + 1}", exact=True).first.wait_for()
    tab.status("Failed")
    check_whole(tab, server.events(runs["failed"]))


def test_reload_in_mid_run_leaves_no_gap_and_no_double_point(tab: Tab, server: Server) -> None:
    identity = long_run(server)
    page = tab.go(f"/runs/{identity}")
    tab.until("kanadSeen.labels.length > 5", "the chart to grow")
    page.reload()
    tab.until("kanadSeen.labels.length > 5", "the chart to grow again")
    tab.button("Cancel").click()
    tab.status("Cancelled")
    check_whole(tab, server.events(identity))


def test_server_killed_and_restarted_in_mid_run(start_server: Callable[..., Server], open_tab: OpenTab) -> None:
    server = start_server("--slots", "1")
    port = int(server.url.rpartition(":")[2])
    identity = long_run(server)
    tab = open_tab(server)
    tab.refusals_expected = True  # the dead server's silence
    other = open_tab(server)
    other.refusals_expected = True
    other.go("/")
    other.page.locator(".window .row .status", has_text="Running").wait_for()
    page = tab.go(f"/runs/{identity}")
    line = page.get_by_role("banner").get_by_role("status")
    tab.until("kanadSeen.labels.length > 5", "the chart to grow")
    server.kill()
    line.filter(has_text="Reconnecting").wait_for()
    other.page.get_by_role("banner").get_by_role("status").filter(has_text="Reconnecting").wait_for()
    before = tab.chart_points()
    server.start(port)
    line.filter(has_text="Live").wait_for()
    page.get_by_text("attempt 2", exact=True).first.wait_for()
    tab.until(f"kanadSeen.labels.at(-1) > {before + 5}", "the chart to grow behind the gap in time")
    tab.button("Cancel").click()
    tab.status("Cancelled")
    check_whole(tab, server.events(identity))
    other.page.locator(".window .row .status", has_text="Cancelled").wait_for()
    assert tab.loads == other.loads == 1, "no page was loaded anew"


def long_run(server: Server) -> str:
    """A run that goes on until it is cancelled."""
    return str(server.post(probe(steps=50_000, step_ms=20, name="Long"))["id"])
