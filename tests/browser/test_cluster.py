"""What the pages show of experiments on a Dask cluster: the same as of those on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
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

    shown = []
    for one, identity in ((server, runs["sqd"]), (there, there.post(SPECS["sqd"])["id"])):
        tab = open_tab(one)
        page = tab.go(f"/runs/{identity}")
        tab.status("Completed")
        shown.append((TIMES.sub("", page.locator("main").inner_text()), tab.energy(), tab.chart_points()))
    assert shown[0] == shown[1]
