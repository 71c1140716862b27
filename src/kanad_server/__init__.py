"""kanad-server: post a molecule, watch it converge live, never lose a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Settings", "__version__", "create_app"]

if TYPE_CHECKING:
    from kanad_server.app import create_app
    from kanad_server.settings import Settings


def __getattr__(name: str) -> object:
    """Load the server only when asked: workers and clients import this package too, and stay light."""
    if name == "create_app":
        from kanad_server.app import create_app

        return create_app
    if name == "Settings":
        from kanad_server.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
