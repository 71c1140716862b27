"""The process from which every worker is forked: PySCF loaded once, a bare environment, no user code.

The server itself never runs PySCF and is never forked.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "KANAD_PROBE_LEDGER")
PRELOADED = ["kanad_server.engines.preload"]

launching = threading.Lock()
"""Held while a process is started: the environment and ``__main__`` are changed for that moment."""


def start(home: str) -> None:
    """Start the forkserver, if it does not run yet; it loads PySCF while the caller goes on.

    `home` is the only directory that PySCF may take for the user's.
    """
    config = resources.files("kanad_server.engines").joinpath("pyscf_config.py")
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {
        "HOME": home,
        "OMP_NUM_THREADS": "1",  # the slots give the parallelism
        "OPENBLAS_NUM_THREADS": "1",
        "PYSCF_CONFIG_FILE": str(config),
        "PYTHONSAFEPATH": "1",  # nothing is imported from a working directory
    }
    multiprocessing.set_forkserver_preload(PRELOADED)
    with launching, _environment(environment), without_main_module():
        multiprocessing.forkserver.ensure_running()


def abandon() -> None:
    """End it at once, also while it still loads PySCF; by itself it would notice only after that."""
    pid = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def without_main_module() -> Iterator[None]:
    """Hide ``__main__`` while a process is started, so that the child does not import the command line again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(environment: dict[str, str]) -> Iterator[None]:
    """forkserver takes the environment of this process and no other; so be it, for a moment."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
