"""The command line: ``kanad serve | run | ls | watch | cancel``."""

from kanad_server.cli.main import main

__all__ = ["main"]
