"""Files beside the database, one for each experiment: orbitals of finished runs, checkpoints of unfinished ones.

Neither is needed to answer for a result: a lost file costs a download or a fresh start, nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


class Files:
    """A directory of files by experiment id (which the store has made or found, never a person)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def orbitals(self, experiment_id: str) -> Path:
        """Where the worker writes orbitals (`kanad_solvers.wavefunction`)."""
        return orbitals(self.directory, experiment_id)

    def share(self, made_for: str, experiment_ids: Collection[str]) -> None:
        """Give each experiment the orbitals that were made for another one."""
        for experiment_id in experiment_ids:
            if experiment_id != made_for:
                with suppress(OSError):
                    self.orbitals(experiment_id).unlink(missing_ok=True)
                    os.link(self.orbitals(made_for), self.orbitals(experiment_id))

    def hand_out(self, made_for: str, experiment_ids: Collection[str]) -> None:
        """`share`, and keep nothing for one that has left."""
        self.share(made_for, experiment_ids)
        if made_for not in experiment_ids:
            with suppress(OSError):
                self.orbitals(made_for).unlink(missing_ok=True)

    def forget(self, experiment_id: str) -> None:
        """Remove what there is."""
        for path in (orbitals(self.directory, experiment_id), checkpoint(self.directory, experiment_id)):
            path.unlink(missing_ok=True)


def orbitals(directory: Path, experiment_id: str) -> Path:
    """The file of a finished run's orbitals."""
    return directory / f"{experiment_id}.orbitals"


def checkpoint(directory: Path, experiment_id: str) -> Path:
    """The file of an unfinished attempt's arrays."""
    return directory / f"{experiment_id}.npz"
