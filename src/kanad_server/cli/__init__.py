"""The command line; `kanad --help` lists the commands."""

from kanad_server.cli import load as _load  # its command registers itself
from kanad_server.cli.main import main

__all__ = ["main"]

del _load
