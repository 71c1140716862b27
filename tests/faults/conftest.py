"""Worlds for the scenarios, and the seed in the header of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scale import SCALE, SEED
from tests.faults.world import World

HERE = Path(__file__).parent


def pytest_report_header() -> str:
    """How to run the same again."""
    return f"faults: KANAD_FAULT_SEED={SEED} KANAD_FAULT_SCALE={SCALE:g}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a `faults` test and may take its time."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.faults)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes the server of a scenario with its witness; whatever is left of it is ended."""
    made: list[World] = []

    def make(*options: str, **more: Any) -> World:
        folder = tmp_path / f"world-{len(made)}"
        folder.mkdir()
        made.append(World(folder, *options, **more))
        return made[-1]

    yield make
    for world in made:
        world.abandon()
