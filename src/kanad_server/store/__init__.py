"""Where experiments, their events and their results are kept."""

from kanad_server.store.base import Commit, Filter, Store
from kanad_server.store.sqlite import SqliteStore

__all__ = ["Commit", "Filter", "SqliteStore", "Store"]
