"""What is done now and then, beside the experiments: the rest of the start's check, the write-ahead file, old logs."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from kanad_server import clock
from kanad_server.errors import Unavailable
from kanad_server.store import Store

TIDY_S = 2.0
THINNED_AT_ONCE = 20
"""Logs that are made short before anything else may have its turn; picked."""


async def keep(store: Store, keep_days: int) -> None:
    """Look after the store until cancelled; logs are thinned `keep_days` after the end, with 0 never.

    Raises:
        StartRefused: the database is damaged; the server must not go on with it.
    """
    if not store.is_checked:
        await store.finish_check()
    while True:
        await store.tidy()
        if keep_days:
            with suppress(Unavailable):  # it is tried again
                await store.thin(clock.days_ago(keep_days), THINNED_AT_ONCE)
        await asyncio.sleep(TIDY_S)
