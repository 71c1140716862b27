"""Fixtures: a server shared by a module, and a factory for servers that a test wants to hurt."""

from __future__ import annotations

import os

# As in a worker, and before NumPy loads: with one thread a run repeats to the last digit.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two slots, ready for work, shared by the tests of a module."""
    running = Server(tmp_path_factory.mktemp("server"), "--slots", "2")
    running.ready()
    yield running
    assert running.stop() == 0, running.log()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers of the test's own; whatever is left of them is ended."""
    started: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Server(folder, *options, environment=environment))
        started[-1].ready()
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
