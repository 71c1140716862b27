"""What a solve leaves for the next one of its kind: the neighbour point of a scan, or the attempt after a crash.

Arrays are kept by reference, which costs nothing. With a path they are also written to a file, by time and never by
iteration, so that a short run writes none.
"""

from __future__ import annotations

import contextlib
import os
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kanad_solvers.properties import Array

SEPARATOR = "/"


class Memory:
    """Named groups of arrays, and the checkpoint file that outlives the process."""

    def __init__(self, path: Path | None = None, every_s: float = 5.0) -> None:
        self._path, self._every_s = path, every_s
        self._groups: dict[str, dict[str, Array]] = {}
        self._from_file: set[str] = set()
        self._written_at = time.monotonic()

    def load(self) -> None:
        """Takes in the checkpoint of an earlier attempt; a missing or torn file leaves the memory empty."""
        if self._path is None:
            return
        import numpy as np

        try:
            with np.load(self._path, allow_pickle=False) as stored:
                for key in stored.files:
                    group, _, name = key.partition(SEPARATOR)
                    self._groups.setdefault(group, {})[name] = stored[key]
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            self._groups.clear()
        self._from_file = set(self._groups)

    def keep(self, group: str, **arrays: Any) -> None:
        """Replaces a group; writes the file when `every_s` has passed since the last time."""
        self._groups[group] = arrays
        self._from_file.discard(group)
        if self._path is not None and time.monotonic() - self._written_at >= self._every_s:
            self._write()

    def recall(self, group: str) -> dict[str, Array] | None:
        """The arrays of a group, or None."""
        return self._groups.get(group)

    def copy(self) -> Memory:
        """The groups as they are now, without a file."""
        made = Memory()
        made._groups = dict(self._groups)
        return made

    def was_loaded(self, group: str) -> bool:
        """Whether the group is from an earlier attempt; true once."""
        loaded = group in self._from_file
        self._from_file.discard(group)
        return loaded

    def forget(self, group: str) -> None:
        """Drops a group."""
        self._groups.pop(group, None)

    def _write(self) -> None:
        import numpy as np

        assert self._path is not None
        flat = {
            f"{group}{SEPARATOR}{name}": np.asarray(array)
            for group, arrays in self._groups.items()
            for name, array in arrays.items()
        }
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk costs the checkpoint, not the run
            with open(beside, "wb") as file:
                np.savez(file, **flat)  # type: ignore[arg-type]  # the stub takes the names for its own options
            os.replace(beside, self._path)
        self._written_at = time.monotonic()
