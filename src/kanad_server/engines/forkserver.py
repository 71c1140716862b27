"""The process from which every worker is forked: PySCF loaded once, a bare environment, no user code.

The server itself never runs PySCF and is never forked.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from multiprocessing import connection, context, popen_forkserver

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "KANAD_PROBE_LEDGER")
SOCKET_VARIABLE = "KANAD_FORKSERVER_DIRECTORY"
"""Names the directory of its socket to the forkserver, which removes it: a killed server cannot."""
PRELOADED = ["kanad_server.engines.preload"]

launching = threading.Lock()
"""Held while a process is started: the environment and ``__main__`` are changed for that moment."""


class _Popen(popen_forkserver.Popen):
    """A process whose exit code any threads may ask for at once.

    It can be read once, and multiprocessing asks for that of every process whenever it starts one: without the lock,
    whoever comes second is told 255.
    """

    def __init__(self, process: Process) -> None:
        self._asking = threading.Lock()
        super().__init__(process)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        if flag != os.WNOHANG:
            connection.wait([self.sentinel])
        with self._asking:
            return super().poll()


class Process(context.ForkServerProcess):
    """A process forked from the forkserver."""

    @staticmethod
    def _Popen(process: Process) -> _Popen:  # type: ignore[override]  # noqa: N802
        return _Popen(process)


def start(home: str) -> None:
    """Start the forkserver, if it does not run (any more); it loads PySCF while the caller goes on.

    `home` is the only directory that PySCF may take for the user's.
    """
    with launching:
        if not _is_running():
            _start(home)


def _is_running() -> bool:
    pid = _pid()
    return pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _start(home: str) -> None:
    config = resources.files("kanad_server.engines").joinpath("pyscf_config.py")
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {
        "HOME": home,
        "OMP_NUM_THREADS": "1",  # the slots give the parallelism
        "OPENBLAS_NUM_THREADS": "1",
        "PYSCF_CONFIG_FILE": str(config),
        "PYTHONSAFEPATH": "1",  # nothing is imported from a working directory
        SOCKET_VARIABLE: multiprocessing.util.get_temp_dir(),
    }
    multiprocessing.set_forkserver_preload(PRELOADED)
    with _environment(environment), without_main_module():
        multiprocessing.forkserver.ensure_running()


def abandon() -> None:
    """End it at once, also while it still loads PySCF; by itself it would notice only after that."""
    pid = _pid()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def _pid() -> int | None:
    pid: int | None = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


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
