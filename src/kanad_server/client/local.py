"""A private server: a process of one's own, with a store that goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kanad_server.client.errors import Unreachable

LISTENING = "kanad-server listening on "
START_S = 60.0
STOP_S = 10.0
_PR_SET_PDEATHSIG = 1
_CHILD = "from kanad_server.client.local import serve_with_parent; serve_with_parent()"


@asynccontextmanager
async def private_server(*, slots: int | None = None, data_dir: Path | str | None = None) -> AsyncIterator[str]:
    """The address of a server of one's own on this machine; it ends on leaving, or when this process dies.

    Raises:
        Unreachable: it did not start.
    """
    with contextlib.ExitStack() as stack:
        folder = data_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="kanad-"))
        options = ["--port", "0", "--data-dir", str(folder), "--log-level", "error"]
        options += [] if slots is None else ["--slots", str(slots)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, str(os.getpid()), *options,
            stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                line = (await process.stdout.readline()).decode()
            if not line.startswith(LISTENING):
                raise Unreachable("the private server did not start")
            yield line.removeprefix(LISTENING).strip()
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), STOP_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def serve_with_parent() -> None:
    """``kanad serve`` that ends when its parent dies (its pid comes first in `sys.argv`), however that happens."""
    parent, *options = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return
    from kanad_server.cli import main

    sys.argv = ["kanad", "serve", *options]
    main()
