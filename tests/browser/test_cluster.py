"""What the pages show of experiments on a Dask cluster: the same as of those on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import Tab
from tests.browser.world import SPECS, Runs
from tests.engines.cluster import PRELOAD, Cluster, end
from tests.support.server import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d[\d.]* (ms|s)\b")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(folder) as running:
        running.mend(2)
        yield running


@pytest.fixture
def there(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    """A server on the cluster."""
    folder = tmp_path / "server"
    folder.mkdir()
    running = Server(folder, "--engine", cluster.engine)
    running.ready()
    yield running
    assert running.stop() == 0, running.log()


def test_a_run_is_shown_alike_and_the_queue_follows_the_cluster(
    cluster: Cluster, there: Server, server: Server, runs: Runs, open_tab: OpenTab
) -> None:
    tab = open_tab(there)
    page = tab.go("/queue")
    slots = page.locator(".slots .card")
    expect(slots).to_have_count(2)
    added = cluster.add_worker(*PRELOAD)
    expect(slots).to_have_count(3, timeout=60_000)
    expect(slots.filter(has_text=cluster.slot(added))).to_have_count(1)
    end([added])
    expect(slots).to_have_count(2, timeout=60_000)
    assert tab.loads == 1

    elsewhere = there.post(SPECS["sqd"])["id"]
    there.ended(elsewhere)
    assert shown(open_tab(server), server, runs["sqd"]) == shown(open_tab(there), there, elsewhere)


def shown(tab: Tab, server: Server, identity: str) -> tuple[str, float, int]:
    """What the page of a run says but the times, its energy, and the points of its chart, once all of it is there."""
    points = sum(event.get("series") == "sqd" for event in server.events(identity))
    page = tab.go(f"/runs/{identity}")
    tab.status("Completed")
    tab.until(f"kanadSeen.labels.at(-1) === {points}", "all points")
    expect(page.locator("main")).not_to_contain_text("Loading")
    return TIMES.sub("", page.locator("main").inner_text()), tab.energy(), tab.chart_points()
