"""The command line: ``kanad serve | run | ls | watch | cancel | load | token``."""

from kanad_server.cli import load as _load  # its command registers itself
from kanad_server.cli.main import main

__all__ = ["main"]

del _load
