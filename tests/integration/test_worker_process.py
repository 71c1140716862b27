"""A worker process as the engines see it: how it ended is known exactly, and nothing of it stays open."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from kanad_server.engines import forkserver
from kanad_server.engines.process import WorkerProcess

ASKERS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    forkserver.start(str(home))
    return home


@pytest.mark.parametrize("_", range(10))
def test_any_number_of_threads_learn_the_same_exit_code(home: Path, _: int) -> None:
    process = WorkerProcess(home)
    process.launch()
    ended, at_once = process._context.process, threading.Barrier(ASKERS)
    assert ended is not None

    def ask() -> int | None:
        at_once.wait()
        ended.join()
        return ended.exitcode

    with ThreadPoolExecutor(ASKERS) as threads:
        told = [threads.submit(ask) for _ in range(ASKERS)]
        process.signal(signal.SIGSEGV)
        assert {one.result() for one in told} == {-signal.SIGSEGV}
    assert process.close() == -signal.SIGSEGV


def test_a_closed_process_leaves_no_descriptor_open_whoever_still_holds_it(home: Path) -> None:
    def lived_and_died() -> WorkerProcess:
        process = WorkerProcess(home)
        process.launch()
        with pytest.raises(BrokenProcessPool):
            process.executor.submit(os.abort).result()
        assert process.close() == -signal.SIGABRT
        return process

    held = [lived_and_died()]
    before = len(os.listdir("/proc/self/fd"))
    held += [lived_and_died() for _ in range(3)]
    assert len(os.listdir("/proc/self/fd")) == before
