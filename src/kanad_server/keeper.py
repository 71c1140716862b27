"""What is done now and then, beside the experiments: the rest of the start's check, and the write-ahead file."""

from __future__ import annotations

import asyncio

from kanad_server.store import Store

TIDY_S = 2.0


async def keep(store: Store) -> None:
    """Look after the store until cancelled.

    Raises:
        StartRefused: the database is damaged; the server must not go on with it.
    """
    if not store.is_checked:
        await store.finish_check()
    while True:
        await store.tidy()
        await asyncio.sleep(TIDY_S)
