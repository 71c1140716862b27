"""The data directory: what lies where in it, and who has it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kanad_server.errors import StartRefused
from kanad_server.store.opening import replace_file


def store_file(data: Path) -> Path:
    """The database."""
    return data / "kanad.sqlite"


def kept_files(data: Path) -> Path:
    """The directory of orbitals and checkpoints."""
    return data / "files"


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Hold the data directory's lock, made where there is none: one server, one directory.

    Raises:
        StartRefused: another server has it, or it cannot be made or written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartRefused(
            "data_dir_unusable", f"the data directory {data} cannot be used: {error.strerror}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartRefused(
                "data_dir_in_use",
                f"another kanad-server uses the data directory {data}; stop it, or choose another --data-dir",
            ) from error
        yield
    finally:
        os.close(descriptor)


def is_in_use(data: Path) -> bool:
    """Whether a server has the directory now; changes nothing."""
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def kept_word(data: Path, name: str, make: Callable[[], str]) -> str:
    """The word that a file of the directory keeps for every start, made at the first one; only its owner may read it.

    A start that was killed leaves no half of it; an empty file, which a full disk may have left, is made anew.
    """
    path = data / name
    word = path.read_text().strip() if path.exists() else ""
    if not word:
        word = make()
        replace_file(path, word.encode(), mode=0o600)
    return word
