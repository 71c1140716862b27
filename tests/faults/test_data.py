"""Faults of the disk and of the database: damage, upgrades, power cuts, no room, other programs."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from kanad_server.store.sqlite import migrations
from tests.faults import figures
from tests.faults.powercut import Trace
from tests.faults.scale import SEED, count, within
from tests.faults.world import API, World, percentile, probe
from tests.support.server import wait_for

MakeWorld = Callable[..., World]
DB = "kanad.sqlite"
CAUSES = {
    "store_unreadable": "cannot be used as a database",
    "store_missing": "this data directory has been used",
    "store_foreign": "is the database of another program",
    "store_newer": "was written by a newer version",
}


# R12: damage


def test_r12_damaged_files(make_world: MakeWorld, tmp_path: Path) -> None:
    """Forty ways to damage a database: refused by name and left byte for byte, or whole all the same."""
    world = make_world("--slots", "2", scenario="R12")
    world.submit_all(probe(steps=20, step_ms=0, payload_bytes=2_000) for _ in range(30))
    world._wait_for_ends(60)
    world.server.kill()  # leaves a write-ahead file
    torn = tmp_path / "torn"
    shutil.copytree(world.server.data, torn)
    world.restart()
    measured = world.finish()
    whole = world.server.data
    rows = _rows(whole / DB)
    ways = _ways_to_damage(world.random)
    chosen = ways if count(len(ways)) == len(ways) else world.random.sample(ways, count(len(ways), 8))
    refused = recovered = 0
    for number, (name, damage) in enumerate(chosen):
        data = tmp_path / f"damaged-{number}"
        shutil.copytree(torn if name.startswith("wal") else whole, data)
        damage(data)
        before = _bytes_of(data)
        code, out = _start_once(data)
        if code == 0:
            recovered += 1
            assert _rows(data / DB) == rows or "write-ahead file is gone" in out, name
            with closing(sqlite3.connect(data / DB)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], name
        else:
            refused += 1
            assert code == 1, (name, out)
            assert any(words in out for words in CAUSES.values()), (name, out)
            assert len(out.strip().splitlines()) == 1, (name, out)
            assert _bytes_of(data) == before, name
    figures.record(
        "R12", "damaged databases", ways=len(chosen), refused_and_untouched=refused, whole_all_the_same=recovered,
        **measured,
    )  # fmt: skip


def _ways_to_damage(chance: random.Random) -> list[tuple[str, Callable[[Path], None]]]:
    """Forty ways, by name; each is done to a data directory."""

    def overwrite(at: int, length: int) -> Callable[[Path], None]:
        content = chance.randbytes(length)

        def damage(data: Path) -> None:
            with (data / DB).open("r+b") as file:
                file.seek(at)
                file.write(content)

        return damage

    def a_page(share: float) -> Callable[[Path], None]:
        return lambda data: overwrite(4096 * int(share * ((data / DB).stat().st_size // 4096)), 4096)(data)

    def cut(share: float) -> Callable[[Path], None]:
        return lambda data: os.truncate(data / DB, int(share * (data / DB).stat().st_size))

    def put(content: bytes) -> Callable[[Path], None]:
        def damage(data: Path) -> None:
            (data / DB).write_bytes(content)

        return damage

    def sql(*statements: str) -> Callable[[Path], None]:
        def damage(data: Path) -> None:
            with closing(sqlite3.connect(data / DB)) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()

        return damage

    def foreign(data: Path) -> None:
        (data / DB).unlink()
        sql("CREATE TABLE photographs (name TEXT)")(data)

    def directory(data: Path) -> None:
        (data / DB).unlink()
        (data / DB).mkdir()

    return [
        *((f"header {n}", overwrite(chance.randrange(0, 90), 8)) for n in range(8)),
        ("header of zeros", lambda data: _write_at(data / DB, 0, bytes(100))),
        *((f"page {n}", a_page(chance.random())) for n in range(15)),
        *((f"cut {n}", cut(chance.uniform(0.05, 0.95))) for n in range(6)),
        ("empty", put(b"")),
        ("missing", lambda data: (data / DB).unlink()),
        ("missing with its note", _forget_note),
        ("wal missing", lambda data: (data / f"{DB}-wal").unlink()),
        ("wal without database", lambda data: (data / DB).unlink()),
        ("text", put(b"the only notes of a year's work, and no database. " * 100)),
        ("zeros", put(bytes(8192))),
        ("another program's", foreign),
        ("newer", sql("PRAGMA user_version = 9999")),
        ("a table is gone", sql("PRAGMA foreign_keys = OFF", "DROP TABLE experiments")),
        ("a directory", directory),
    ]


def _forget_note(data: Path) -> None:
    (data / DB).write_bytes(b"")


def _write_at(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _rows(path: Path) -> str:
    """A checksum over everything that experiments consist of."""
    total = hashlib.sha256()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        for statement in (
            "SELECT number, id, name, spec, status, attempt, energy_hartree FROM experiments ORDER BY number",
            "SELECT experiment_id, seq, body FROM events ORDER BY experiment_id, seq",
            "SELECT experiment_id, body FROM results ORDER BY experiment_id",
        ):
            for row in connection.execute(statement):
                total.update(repr(row).encode())
    return total.hexdigest()


def _bytes_of(data: Path) -> dict[str, bytes]:
    """The database and its write-ahead file (an empty one and the index in shared memory hold nothing)."""
    paths = [data / DB, data / f"{DB}-wal"]
    return {path.name: path.read_bytes() for path in paths if path.is_file() and path.stat().st_size}


def _start_once(data: Path) -> tuple[int, str]:
    """Start on a directory and, where it serves, end again: exit code and what was said."""
    server = subprocess.Popen(
        [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--slots", "1", "--data-dir", str(data)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert server.stdout is not None
    if server.stdout.readline():
        server.send_signal(signal.SIGTERM)
    _, err = server.communicate(timeout=60)
    return server.returncode, err


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_r12_unreadable_permissions(make_world: MakeWorld) -> None:
    """A database that may not be read is refused, and made readable again serves."""
    world = make_world("--slots", "1", scenario="R12")
    world.server.stop()
    (world.server.data / DB).chmod(0)
    code, out = _start_once(world.server.data)
    assert code == 1
    assert CAUSES["store_unreadable"] in out
    (world.server.data / DB).chmod(0o600)
    world.restart()
    world.finish()


# R13: upgrades


def test_r13_killed_migrations(make_world: MakeWorld, tmp_path: Path) -> None:
    """kill -9 during upgrades from every released schema: each comes to its end later, rows the same, a copy first."""
    world = make_world("--slots", "1", scenario="R13")
    measured = world.finish()
    steps = migrations()
    rows, tries = count(5_000, 1_000), count(20, 4)
    converged = 0
    for old in range(1, len(steps)):
        original = _old_database(tmp_path / f"schema-{old}", old, rows)
        before = _rows(original)
        for number in range(-(-tries // (len(steps) - 1))):
            data = tmp_path / f"upgrade-{old}-{number}"
            data.mkdir()
            shutil.copy(original, data / DB)
            copy = data / f"{DB}.schema-{old}"
            _kill_during_upgrade(data, copy, world.random)
            if _schema_of(data / DB) > old:
                assert _rows(copy) == before
            assert _start_once(data)[0] == 0
            assert (_schema_of(data / DB), _rows(data / DB)) == (len(steps), before)
            assert (_schema_of(copy), _rows(copy)) == (old, before)
            converged += 1
    newer = tmp_path / "newer"
    newer.mkdir()
    shutil.copy(world.server.data / DB, newer / DB)
    with closing(sqlite3.connect(newer / DB)) as connection:
        connection.execute(f"PRAGMA user_version = {len(steps) + 1}")
    code, out = _start_once(newer)
    assert (code, "newer version" in out) == (1, True)
    figures.record(
        "R13", "upgrades killed on the way", experiments=rows, kills=converged, converged=converged,
        downgrade_refused=1, **measured,
    )  # fmt: skip


def _old_database(directory: Path, schema: int, rows: int) -> Path:
    directory.mkdir()
    path = directory / DB
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for step in migrations()[:schema]:
            connection.executescript(step)
        connection.execute(f"PRAGMA user_version = {schema}")
        connection.executemany(
            "INSERT INTO experiments (id, name, tags, priority, status, method, spec, spec_hash, attempt, losses,"
            " cancel_requested, progress, energy_hartree, created_at, finished_at)"
            " VALUES (?, ?, '[]', 0, 'completed', 'probe', ?, 'hash', 1, 0, 0, '{}', -1.0, '2026', '2026')",
            ((f"id-{n:06}", f"name {n}", '{"molecule":{"library":"H2"},"method":{"name":"hf"}}') for n in range(rows)),
        )
        connection.executemany(
            "INSERT INTO events (experiment_id, seq, body) VALUES (?, ?, ?)",
            ((f"id-{n:06}", seq, f'{{"seq":{seq},"type":"log"}}') for n in range(rows) for seq in (1, 2, 3)),
        )
        connection.executemany(
            "INSERT INTO results (experiment_id, body) VALUES (?, ?)",
            ((f"id-{n:06}", '{"energy_hartree":-1.0}') for n in range(rows)),
        )
        connection.commit()
    return path


def _schema_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrading(data: Path, copy: Path) -> subprocess.Popen[bytes]:
    """A server that has begun to upgrade its database."""
    server = subprocess.Popen(
        [sys.executable, "-m", "kanad_server", "serve", "--port", "0", "--slots", "1", "--data-dir", str(data)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    partial = copy.with_name(f"{copy.name}.partial")
    wait_for(lambda: partial.exists() or copy.exists() or server.poll() is not None, "the upgrade to begin")
    return server


def _kill_during_upgrade(data: Path, copy: Path, chance: random.Random) -> None:
    server = _upgrading(data, copy)
    time.sleep(chance.uniform(0.0, 0.08))
    server.kill()
    server.wait()


def test_r7_signals_during_upgrades(tmp_path: Path) -> None:
    """SIGTERM while the database is upgraded: an end in time, whole data, and the next start brings it to its end."""
    chance = random.Random(f"{SEED}:R7 upgrades")
    rows, tries = count(5_000, 1_000), count(10, 3)
    original = _old_database(tmp_path / "schema-1", 1, rows)
    before = _rows(original)
    times, codes = [], set()
    for number in range(tries):
        data = tmp_path / f"upgrade-{number}"
        data.mkdir()
        shutil.copy(original, data / DB)
        server = _upgrading(data, data / f"{DB}.schema-1")
        time.sleep(chance.uniform(0.0, 0.3))
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        codes.add(server.wait(60))
        times.append(time.monotonic() - began)
        with closing(sqlite3.connect(data / DB)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        code, out = _start_once(data)
        assert code == 0, out
        assert (_schema_of(data / DB), _rows(data / DB)) == (len(migrations()), before)
    assert codes == {0}
    assert max(times) <= within(3.0)
    figures.record(
        "R7", "SIGTERM during upgrades", experiments=rows, signals=tries, exit_s_max=max(times), converged=tries
    )


# R14: power cuts


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_r14_durability(make_world: MakeWorld, tmp_path: Path) -> None:
    """201 is sent after the sync that covers its commit; cut at any sync, the files open and hold what was acked."""
    trace = tmp_path / "trace"
    calls = "openat,close,pwrite64,ftruncate,unlink,rename,fdatasync,fsync,write,writev,sendto,sendmsg"
    prefix = ["strace", "-f", "-xx", "-s", "70000", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(trace)]
    world = make_world("--slots", "1", scenario="R14", prefix=[*prefix, "--"])
    posts = count(200, 25)
    for number in range(posts):
        world.submit(probe(steps=1, step_ms=0), key=f"r14-{number}", patience_s=30)
    world.server.kill_traced()
    read = Trace(trace, world.server.data.absolute() / DB)
    acked = list(world.witness.accepted)
    late = [experiment_id for experiment_id in acked if not read.is_synced_before_sent(experiment_id)]
    assert late == []
    cuts = read.replay(tmp_path / "replay", acked)
    world.restart()
    measured = world.finish()
    assert measured["accepted"] == posts
    figures.record(
        "R14", "sync before 201; power cut at every sync", posts=posts, synced_before_sent=posts - len(late),
        cuts_replayed=cuts, **measured,
    )  # fmt: skip


# R10: no room


@contextmanager
def _small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting is forbidden here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_r10_full_disk(make_world: MakeWorld, tmp_path: Path) -> None:
    """A full disk: refusals that say when to come back, reads that work, and recovery by itself."""
    with _small_disk(tmp_path / "disk", 4) as disk:
        world = make_world("--slots", "2", scenario="R10", data=disk / "data")
        running = world.submit(probe(steps=400, step_ms=20), key="running")
        world.server.running(running)
        _fill(disk / "filler")
        statuses: list[int] = []

        def post(number: int) -> None:
            until = time.monotonic() + 6.0
            while time.monotonic() < until:
                statuses.append(world.call("POST", API, json=probe(steps=1), key=f"full-{number}").status)
                time.sleep(0.05)

        world.in_threads(post, range(4), 4)
        assert set(statuses) & {503, 507}
        reads = [world.call("GET", path).status for path in (API, f"{API}/{running}", f"{API}/{running}/events")]
        assert reads == [200, 200, 200]
        (disk / "filler").unlink()
        began = time.monotonic()
        world.submit(probe(steps=1), key="after")
        healed = time.monotonic() - began
        measured = world.finish()
        log_bytes = len(world.server.log())
    assert healed <= within(5.0)
    assert log_bytes < 1_000_000
    figures.record(
        "R10", "full disk", refused=sum(status in (503, 507) for status in statuses), healed_s=healed,
        log_kb=log_bytes // 1000, **measured,
    )  # fmt: skip


def _fill(path: Path) -> None:
    """Write until not a byte more fits."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65_536, 512, 1):
            with suppress(OSError):
                while os.write(descriptor, bytes(size)):
                    pass
    finally:
        os.close(descriptor)


# R11: other programs


def test_r11_locks_and_long_readers(make_world: MakeWorld) -> None:
    """Another program holds the write lock, then a snapshot: posts wait or are told, the write-ahead file shrinks."""
    world = make_world("--slots", "2", scenario="R11")
    done = threading.Event()
    taken: list[float] = []

    def post(client: int) -> None:
        number = 0
        while not done.is_set():
            call = world.call("POST", API, json=probe(steps=1, step_ms=0), key=f"r11-{client}-{number}")
            taken.append(call.took_s)
            number += call.status != 503
            time.sleep(max(0.0, 0.4 - call.took_s))

    with world_threads(post, 8, done):
        for _ in range(count(10, 2)):
            _hold_lock(world.server.data / DB, 3.0)
            time.sleep(0.3)
        loud = [world.submit(probe(steps=150, step_ms=1, payload_bytes=200_000), key=f"loud-{n}") for n in range(2)]
        reader = sqlite3.connect(world.server.data / DB)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM experiments").fetchone()
        for experiment_id in loud:
            world.ended(experiment_id, 120)
        time.sleep(count(30, 3) - 1.0)
        wal = world.server.data / f"{DB}-wal"
        grown_mb = wal.stat().st_size / 2**20
        assert grown_mb > 16
        reader.rollback()
        reader.close()
        began = time.monotonic()
        wait_for(lambda: wal.stat().st_size <= 16 * 2**20, "the write-ahead file to shrink", within(10.0))
        shrunk = time.monotonic() - began
    measured = world.finish()
    waited = sum(call.status == 503 for call in world.witness.calls)
    assert percentile(taken, 0.99) <= within(4.0)
    figures.record(
        "R11", "write lock held 3 s; a long reader", holds=count(10, 2), posts=len(taken), told_503=waited,
        post_s_p99=percentile(taken, 0.99), wal_mb_held=grown_mb, shrunk_s=shrunk, **measured,
    )  # fmt: skip


@contextmanager
def world_threads(work: Callable[[int], None], number: int, done: threading.Event) -> Iterator[None]:
    """`work` in threads until the block is left."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _hold_lock(path: Path, seconds: float) -> None:
    code = (
        "import sqlite3, sys, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "c.execute('BEGIN IMMEDIATE'); time.sleep(float(sys.argv[2])); c.execute('COMMIT')"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(seconds)], check=True, timeout=60)
