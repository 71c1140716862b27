"""Backups of a server at work, and what the doctor finds."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kanad_server import doctor
from kanad_server.backup import backup, restore
from kanad_server.errors import KanadError, StartRefused
from kanad_server.settings import Settings
from kanad_server.store import opening
from tests.support.server import H2_ATOMS, Server, probe

H2 = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "hf"}}


def kanad(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kanad_server", *words], capture_output=True, text=True, timeout=100, check=False
    )


def pour(server: Server, acknowledged: list[str], stop: threading.Event) -> None:
    while not stop.is_set():
        acknowledged.append(server.post(probe(steps=3, step_ms=1, name="pour") | {"fresh": True})["id"])


def test_a_backup_taken_under_load_holds_all_that_was_acknowledged(server: Server, tmp_path: Path) -> None:
    run = server.ended(server.post(H2)["id"])
    molden = server.http.get(f"/api/v1/experiments/{run['id']}/artifacts/orbitals.molden").content
    acknowledged: list[str] = []
    stop = threading.Event()
    pouring = threading.Thread(target=pour, args=(server, acknowledged, stop))
    pouring.start()
    try:
        while len(acknowledged) < 10 and pouring.is_alive():
            stop.wait(0.01)
        before = [run["id"], *acknowledged]
        kept = backup(server.data, tmp_path / "one.backup")
        again = kanad("backup", str(tmp_path / "two.backup"), "--data-dir", str(server.data), "--json")
    finally:
        stop.set()
        pouring.join()
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["experiments"] >= kept.experiments >= len(before)
    events, result = server.events(run["id"]), server.result(run["id"])

    assert kanad("restore", str(tmp_path / "one.backup"), "--data-dir", str(tmp_path / "new")).returncode == 0
    new = Server(tmp_path, data=tmp_path / "new")
    try:
        new.ready()
        assert {new.get(experiment_id)["id"] for experiment_id in before} == set(before)
        assert (new.events(run["id"]), new.result(run["id"])) == (events, result)
        assert new.http.get(f"/api/v1/experiments/{run['id']}/artifacts/orbitals.molden").content == molden
        for experiment_id in before:  # what had not ended is taken up again
            assert new.ended(experiment_id)["status"] == "completed"
    finally:
        new.stop()


@pytest.fixture(scope="module")
def kept(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a server that has computed something."""
    file = tmp_path_factory.mktemp("kept") / "a.backup"
    server.ended(server.post(H2)["id"])
    backup(server.data, file)
    return file


def test_a_backup_replaces_nothing_and_neither_does_restoring(server: Server, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(KanadError, match="exists"):
        backup(server.data, kept)
    with pytest.raises(StartRefused, match="another kanad-server uses"):
        restore(kept, server.data)
    with pytest.raises(KanadError, match="nothing to back up"):
        backup(tmp_path / "nowhere", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_whose_database_was_lost_can_be_restored(kept: Path, tmp_path: Path) -> None:
    restore(kept, tmp_path / "data")
    (tmp_path / "data/kanad.sqlite").unlink()
    with pytest.raises(StartRefused, match="is missing"):
        opening.examine(tmp_path / "data/kanad.sqlite", 99)
    restore(kept, tmp_path / "data")
    assert broken(tmp_path / "data") == {}
    with pytest.raises(KanadError, match="holds a store already"):
        restore(kept, tmp_path / "data")


def test_a_damaged_backup_is_refused_and_changes_nothing(kept: Path, tmp_path: Path) -> None:
    content = kept.read_bytes()
    damaged = tmp_path / "damaged"
    half, page = content[: len(content) // 2], content[:100] + b"\xff" * 4_096 + content[4_196:]
    for number, wrong in enumerate((half, page, b"", b"something else")):
        damaged.write_bytes(wrong)
        with pytest.raises(KanadError):
            restore(damaged, tmp_path / f"data-{number}")
        assert not (tmp_path / f"data-{number}/kanad.sqlite").exists()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE backup_files SET content = x'00'", "UPDATE backup_files SET name = '../../x' || rowid",
     "UPDATE results SET experiment_id = 'nobody' || rowid", "DROP TABLE backup_files"],
)  # fmt: skip
def test_a_forged_backup_is_refused(kept: Path, tmp_path: Path, statement: str) -> None:
    forged = tmp_path / "forged"
    forged.write_bytes(kept.read_bytes())
    with closing(sqlite3.connect(forged)) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(KanadError, match=r"damaged|not a backup"):
        restore(forged, tmp_path / "data")
    assert not (tmp_path / "data/kanad.sqlite").exists()


def broken(data: Path, **settings: Any) -> dict[str, str]:
    """Name and advice of what the doctor finds wrong."""
    findings = doctor.examine(Settings(data_dir=str(data), **settings), with_worker=False)
    return {finding.name: finding.advice for finding in findings if finding.state == "broken"}


def test_the_doctor_finds_a_sound_server_well(server: Server) -> None:
    done = kanad("doctor", "--data-dir", str(server.data))
    assert done.returncode == 0, done.stdout
    assert "ok      lock: a server uses the data directory" in done.stdout
    assert "ok      store: sound; schema" in done.stdout
    assert "ok      worker: computed H2/STO-3G: -1.116684" in done.stdout


def test_the_doctor_says_what_is_broken_and_what_to_do(kept: Path, tmp_path: Path) -> None:
    restore(kept, tmp_path / "data")
    database = tmp_path / "data/kanad.sqlite"
    database.write_bytes(database.read_bytes()[:20_000] + b"\xff" * 4_096 + database.read_bytes()[24_096:])
    done = kanad("doctor", "--data-dir", str(tmp_path / "data"), "--no-worker", "--json")
    findings = {finding["name"]: finding for finding in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert findings["store"]["state"] == "broken"
    assert "kanad restore" in findings["store"]["advice"]
    assert {name for name, finding in findings.items() if finding["state"] == "broken"} == {"store"}


def test_the_doctor_looks_at_disk_address_directory_and_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(tmp_path / "new") == {}
    assert set(broken(tmp_path / "new", host="0.0.0.0")) == {"address"}  # noqa: S104
    monkeypatch.setattr(doctor, "FULL_MB", 10**12)
    assert set(broken(tmp_path / "new")) == {"disk"}
    monkeypatch.setattr(doctor, "FULL_MB", 1)
    (tmp_path / "file").write_text("")
    assert "data directory" in broken(tmp_path / "file/data") | broken(tmp_path / "file")

    async def fails() -> None:
        raise OSError("no such program")

    monkeypatch.setattr(doctor, "_solve", fails)
    assert "no worker came up: OSError: no such program" in doctor._worker(Settings()).message
