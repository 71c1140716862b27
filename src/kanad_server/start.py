"""How a server process begins: its workers' process first, everything else while that one loads PySCF."""

from __future__ import annotations

from kanad_server.engines import forkserver
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartRefused: the address or the data directory cannot be used.
    """
    forkserver.start(str(settings.scratch_path))

    import uvloop  # from here on the modules take as long as PySCF does there

    from kanad_server import logs
    from kanad_server.serve import serve

    logs.set_up(settings.log_level)
    try:
        uvloop.run(serve(settings))
    except StartRefused:
        forkserver.abandon()
        raise
