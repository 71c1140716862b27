"""How a server process begins: its workers' process first, everything else while that one loads PySCF."""

from __future__ import annotations

import ctypes

from kanad_server.engines import forkserver
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's numbers of these parameters (malloc.h)."""


def run(settings: Settings, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; says in a line of text, or of JSON, where.

    Raises:
        StartRefused: the address or the data directory cannot be used.
    """
    forkserver.start(str(settings.scratch_path))
    _give_memory_back()

    import uvloop  # from here on the modules take as long as PySCF does there

    from kanad_server import logs
    from kanad_server.serve import serve

    logs.set_up(settings.log_level)
    try:
        uvloop.run(serve(settings, as_json=as_json))
    except StartRefused:
        forkserver.abandon()
        raise


def _give_memory_back() -> None:
    """Let large blocks go back to the system when they are freed; glibc keeps them, the more the larger they were."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_MMAP_THRESHOLD, 256 * 1024)
        mallopt(_TRIM_THRESHOLD, 1024 * 1024)
