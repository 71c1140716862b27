"""Where experiments, their events and their results are kept."""

from kanad_server.store.base import Answer, Campaign, Commit, Filter, Notification, Store
from kanad_server.store.sqlite import SqliteStore

__all__ = ["Answer", "Campaign", "Commit", "Filter", "Notification", "SqliteStore", "Store"]
