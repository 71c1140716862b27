"""A backup taken under load is one moment: all that was acknowledged before it is in it, whatever happens then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from kanad_server.backup import backup, restore
from tests.faults import figures
from tests.faults.scale import count, within
from tests.faults.world import API, World, probe
from tests.support.server import Server, wait_for

POSTS_PER_S = 20


def test_r27_backup_under_load(make_world: Callable[..., World], tmp_path: Path) -> None:
    """Copied while experiments pour in, then kill -9; the copy, brought back elsewhere, takes everything up."""
    world = make_world("--slots", "2", scenario="R27")
    acknowledged: list[str] = []
    stop = threading.Event()

    def pour() -> None:
        while not stop.wait(1 / POSTS_PER_S):
            spec = probe(steps=5, step_ms=5, payload_bytes=10_000)
            acknowledged.append(world.submit(spec, key=f"pour-{len(acknowledged)}"))

    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        wait_for(lambda: len(acknowledged) >= count(400, 40), "the first experiments", 120)
        before = list(acknowledged)
        kept = backup(world.server.data, tmp_path / "a.backup")
    finally:
        stop.set()
        pouring.join()
    world.server.kill()

    restored = restore(tmp_path / "a.backup", tmp_path / "data")
    assert restored.seconds <= within(10.0)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    new = Server(folder, "--slots", "2", data=tmp_path / "data")
    try:
        new.ready()
        missing = [one for one in before if new.http.get(f"{API}/{one}").status_code != 200]
        ends = {new.ended(one, 120)["status"] for one in before}
    finally:
        assert new.stop() == 0
    assert missing == []
    assert ends == {"completed"}
    world.restart()
    measured = world.finish(120)
    figures.record(
        "R27", "a backup under load, then kill -9, brought back elsewhere",
        experiments=len(before), missing=len(missing),
        megabytes=kept.bytes / 2**20, backup_s=kept.seconds, restore_s=restored.seconds, **measured,
    )  # fmt: skip
