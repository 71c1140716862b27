"""The data directory: what lies where in it, and who has it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kanad_server.errors import StartRefused


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
