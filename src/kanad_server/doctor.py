"""What keeps a server from working well here, and what to do about it. Nothing is changed, and a server may run."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from kanad_server import datadir, tokens
from kanad_server.engines.base import Cancelled, Completed, Failed, Interrupted, Job, Lost, Verdict
from kanad_server.engines.local import LocalEngine
from kanad_server.engines.worker import Keeping
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings
from kanad_server.store import opening
from kanad_server.store.sqlite import migrations, named_queries, read_text
from kanad_solvers.spec import Atom, HartreeFock, Molecule, Spec

State: TypeAlias = Literal["ok", "warning", "broken"]

PACKAGES = ("kanad-server", "pyscf", "rdkit", "numpy", "scipy", "hypercorn", "starlette", "msgspec", "aiosqlite")
FULL_MB, LOW_MB = 100, 2_048
"""Below the first nothing can be kept safely; below the second a few large runs fill the disk. Picked."""
MIN_FILES = 4_096
MEMORY_PER_SLOT_MB = 1_024
SQLITE = (3, 35, 0)
WORKER_S = 60.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at; `advice` says what to do where it is not well."""

    name: str
    state: State
    message: str
    advice: str = ""


def examine(settings: Settings, *, with_worker: bool = True) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    checks: list[Callable[[Settings], Finding]] = [
        _versions, _directory, _disk, _lock, _store, _tokens, _open_files, _memory,
    ]  # fmt: skip
    for check in checks:
        yield check(settings)
    if with_worker:
        yield _worker(settings)


def _versions(settings: Settings) -> Finding:
    missing, found = [], [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return _broken("versions", f"not installed: {', '.join(missing)}", "install kanad-server again with pip")
    if sys.version_info < (3, 11) or sqlite3.sqlite_version_info < SQLITE:
        return _broken(
            "versions",
            f"Python {platform.python_version()} with SQLite {sqlite3.sqlite_version}",
            "use Python 3.11 or newer, with SQLite 3.35 or newer",
        )
    return _ok("versions", ", ".join([*found, f"SQLite {sqlite3.sqlite_version}"]))


def _directory(settings: Settings) -> Finding:
    data = settings.data_path
    place = data if data.exists() else _above(data)
    if not data.exists() and os.access(place, os.W_OK | os.X_OK):
        return _ok("data directory", f"{data} does not exist yet; the first start makes it")
    if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
        return _broken(
            "data directory",
            f"{place} cannot be written by user {os.getuid()}",
            "give it to the user who runs the server (chown), or choose another --data-dir",
        )
    if data.stat().st_mode & 0o007:
        return _warning(
            "data directory", f"{data} is open to every user of this machine, with every result", f"chmod o= {data}"
        )
    return _ok("data directory", f"{data}")


def _disk(settings: Settings) -> Finding:
    place = settings.data_path if settings.data_path.exists() else _above(settings.data_path)
    free = shutil.disk_usage(place).free / 2**20
    words = f"{free / 1024:.1f} GB free at {place}"
    advice = "make room, delete experiments, or set --keep-days so that old logs are thinned"
    if free < FULL_MB:
        return _broken("disk", words, advice)
    return _warning("disk", words, advice) if free < LOW_MB else _ok("disk", words)


def _lock(settings: Settings) -> Finding:
    try:
        is_in_use = datadir.is_in_use(settings.data_path)
    except OSError as error:
        return _broken("lock", f"the lock cannot be looked at: {error.strerror}", "run this as the server's user")
    return _ok("lock", "a server uses the data directory" if is_in_use else "no server uses the data directory")


def _store(settings: Settings) -> Finding:
    path = datadir.store_file(settings.data_path)
    try:
        found = opening.examine(path, len(migrations()), check_s=0.0)
        if found.schema == 0:
            return _ok("store", "no database yet")
        with closing(opening.read_only(path)) as connection:
            opening.is_whole(connection, path, None)
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                return _broken("store", f"{path}: a row refers to one that is not there", opening.RESTORE)
            counts = dict(connection.execute(named_queries(read_text("queries.sql"))["count_by_status"]).fetchall())
    except StartRefused as error:
        return _broken("store", error.message, "kanad restore BACKUP --data-dir DIR, into another directory")
    except (sqlite3.Error, OSError) as error:
        return _broken("store", f"{path} cannot be read: {error}", "run this as the server's user")
    stands = "" if found.schema == len(migrations()) else f", to be brought to {len(migrations())} by the next start"
    total = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "empty"
    return _ok("store", f"sound; schema {found.schema}{stands}; {total}; {path.stat().st_size / 2**20:.1f} MB")


def _tokens(settings: Settings) -> Finding:
    are_good = tokens.are_good(settings.data_path)
    if not settings.is_loopback and not are_good:
        return _broken(
            "address",
            f"host {settings.host} can be reached from other machines, and there is no good token",
            "kanad token create --name NAME, or --host 127.0.0.1",
        )
    if not settings.is_loopback and not settings.has_tls:
        return _warning(
            "address",
            f"host {settings.host} can be reached from other machines, and tokens travel unencrypted",
            "set --certfile and --keyfile, or put a TLS proxy in front",
        )
    people = "tokens tell people apart" if are_good else "no tokens: whoever uses this machine is an admin"
    return _ok("address", f"{settings.host}; {people}")


def _open_files(settings: Settings) -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < MIN_FILES:
        return _warning(
            "open files",
            f"at most {limit} open files, so fewer connections than {settings.max_connections}",
            f"ulimit -n {MIN_FILES} or more; with systemd LimitNOFILE=",
        )
    return _ok("open files", f"at most {limit}")


def _memory(settings: Settings) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    words = f"{total / 1024:.1f} GB for {settings.slots} slots"
    if total < settings.slots * MEMORY_PER_SLOT_MB:
        return _warning("memory", words, "use fewer --slots: each run may take 1 GB or more")
    return _ok("memory", words)


def _worker(settings: Settings) -> Finding:
    """Compute something small where experiments are computed."""
    try:
        verdict = asyncio.run(asyncio.wait_for(_solve(), WORKER_S))
    except Exception as failure:  # whatever it is, it is what was looked for
        return _broken("worker", f"no worker came up: {type(failure).__name__}: {failure}", _REINSTALL)
    match verdict:
        case Completed(energy_hartree=energy):
            return _ok("worker", f"computed H2/STO-3G: {energy:.8f} Eh")
        case Failed(error=error) | Lost(error=error):
            return _broken("worker", f"{error.code}: {error.message}", _REINSTALL)
        case Cancelled() | Interrupted():
            return _broken("worker", "the run was cancelled", _REINSTALL)


_REINSTALL = "install kanad-server again with pip; where that does not help, run with --log-level debug and look there"


class _Open:
    """A gate that never closes: there is no journal that would have to keep up."""

    has_room = True

    async def room(self) -> None:
        return


async def _solve() -> Verdict:
    with tempfile.TemporaryDirectory(prefix="kanad-doctor-") as folder:
        scratch = Path(folder) / "scratch"
        async with LocalEngine(1, scratch, _Open(), Keeping(folder, 0.0)) as engine:
            job = Job(experiment_id="doctor", attempt=1, spec=_H2)
            return await engine.slots[0].run(job, lambda report: None)


_H2 = Spec(
    molecule=Molecule(
        atoms=tuple(Atom(symbol="H", position_angstrom=(0.0, 0.0, z)) for z in (0.0, 0.7414)), multiplicity=1
    ),
    method=HartreeFock(),
)


def _above(path: Path) -> Path:
    """The nearest directory above that exists."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def _ok(name: str, message: str) -> Finding:
    return Finding(name=name, state="ok", message=message)


def _warning(name: str, message: str, advice: str) -> Finding:
    return Finding(name=name, state="warning", message=message, advice=advice)


def _broken(name: str, message: str, advice: str) -> Finding:
    return Finding(name=name, state="broken", message=message, advice=advice)
