"""For `dask worker --preload kanad_server.engines.dask_preload`: checks that attempts can run here.

A worker without it serves too; it loads PySCF at its first attempt, and the server shows what is wrong with it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from kanad_server.engines import dask_worker

REFUSAL = "this worker cannot run experiments"


async def dask_setup(worker: Any) -> None:
    """Refuse to start where attempts could not run; otherwise load PySCF once for every thread.

    Raises:
        SystemExit: says what is missing (an `Exception` would be logged, and the worker would join).
    """
    faults = dask_worker.faults()
    if faults:
        raise SystemExit(f"{REFUSAL}: {'; '.join(faults)}")
    multiprocessing.current_process().daemon = False  # see `dask_worker.offer`
    try:
        await asyncio.to_thread(dask_worker.warm, worker.state.nthreads, Path(worker.local_directory))
    except (OSError, BrokenProcessPool) as error:
        raise SystemExit(f"{REFUSAL}: child processes do not start ({error}); see to limits and TMPDIR") from error


def dask_teardown(worker: Any) -> None:
    """End the children."""
    dask_worker.close()
