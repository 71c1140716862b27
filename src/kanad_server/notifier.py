"""Sends what the store says is due, again and again until the receiver has it; one lane for each origin.

A notification is in the store from the moment its experiment has ended, in the same transaction, and goes when the
receiver has answered 2xx: a server that dies in between sends it once more. Receivers tell repeats by `Kanad-Delivery`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

import httpx

from kanad_server import __version__, webhooks
from kanad_server.errors import Unavailable
from kanad_server.store import Notification, Store
from kanad_server.webhooks import Allowed, Blocked

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Notifications that one origin is sent at a time."""
ANSWER_S = 10.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3_600.0
KEPT_S = 3 * 24 * 3_600.0
LOOK_S = 60.0
"""A lane looks into the store that often, even when nobody wakes it."""


class Notifier:
    """Lanes to the allowed origins. `run` serves until cancelled; `wake` says that something is due."""

    def __init__(self, store: Store, allowed: Allowed, secret: str) -> None:
        self._store, self._allowed, self._secret = store, allowed, secret
        self._wakes = {origin: asyncio.Event() for origin in allowed.origins}
        self.sent = self.failed = self.dropped = 0

    def wake(self) -> None:
        """Something may be due."""
        for event in self._wakes.values():
            event.set()

    async def run(self) -> None:
        """Serve every lane until cancelled."""
        if not self._wakes:
            return
        limits = httpx.Limits(max_connections=AT_ONCE * len(self._wakes))
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ANSWER_S, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            for origin in self._wakes:
                group.create_task(self._lane(client, origin), name=f"notify {origin}")

    async def _lane(self, client: httpx.AsyncClient, origin: str) -> None:
        wake = self._wakes[origin]
        while True:
            wake.clear()
            pause_s = LOOK_S
            try:
                due, next_at = await self._store.due_notifications(origin, time.time(), AT_ONCE)
                await asyncio.gather(*(self._settle(client, one) for one in due))
                if due:
                    continue
                if next_at is not None:
                    pause_s = min(LOOK_S, max(next_at - time.time(), 0.0))
            except Unavailable as error:
                log.warning("notifications wait for the store", extra={"cause": str(error)})
            try:
                async with asyncio.timeout(pause_s):
                    await wake.wait()
            except TimeoutError:
                pass

    async def _settle(self, client: httpx.AsyncClient, one: Notification) -> None:
        """Try once; forget it where it arrived, or where it has been tried for days."""
        cause = await self._try(client, one)
        now_s = time.time()
        if cause is None:
            self.sent += 1
            await self._store.forget_notification(one.id)
        elif now_s - one.created_at > KEPT_S:
            self.dropped += 1
            log.error("a notification was given up", extra={"url": one.url, "tries": one.tries + 1, "cause": cause})
            await self._store.forget_notification(one.id)
        else:
            self.failed += 1
            log.warning("a notification did not arrive", extra={"url": one.url, "tries": one.tries + 1, "cause": cause})
            await self._store.postpone_notification(one.id, one.tries + 1, now_s + pause_after(one.tries))

    async def _try(self, client: httpx.AsyncClient, one: Notification) -> str | None:
        """Why it did not arrive; None where it did."""
        try:
            async with asyncio.timeout(ANSWER_S):
                parts, number = await self._allowed.resolve(one.url)
                timestamp = int(time.time())
                host = f"[{number}]" if ":" in number else number
                port = "" if parts.port is None else f":{parts.port}"
                address = parts._replace(netloc=f"{host}{port}", fragment="").geturl()
                headers = {
                    "Host": parts.netloc,
                    "Content-Type": "application/json",
                    "User-Agent": f"kanad-server/{__version__}",
                    "Kanad-Delivery": one.id,
                    "Kanad-Timestamp": str(timestamp),
                    "Kanad-Signature": webhooks.sign(self._secret, timestamp, one.body),
                }
                extensions = {"sni_hostname": parts.hostname}
                async with client.stream(
                    "POST", address, content=one.body, headers=headers, extensions=extensions
                ) as answer:  # what it says beside its status is not read
                    return None if answer.is_success else f"it answered {answer.status_code}"
        except Blocked as error:
            return str(error)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return str(error) or type(error).__name__


def pause_after(tries: int) -> float:
    """Seconds until the next try: doubling, with jitter, at most an hour."""
    doubled: float = FIRST_PAUSE_S * 2 ** min(tries, 20)
    return min(doubled, LONGEST_PAUSE_S) * random.uniform(0.75, 1.0)  # noqa: S311
