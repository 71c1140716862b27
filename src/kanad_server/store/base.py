"""What the journal and the routes ask of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from kanad_server.store.tokens import TokenRow
from kanad_server.wire import Experiment, Member, StatusName

EVENT_BYTES = 1024 * 1024
"""Text of events that is read at a time, so that a log of large ones does not come into memory whole."""

SortKey: TypeAlias = Literal[
    "created_at", "-created_at", "finished_at", "-finished_at", "energy_hartree", "-energy_hartree",
    "name", "-name",
]  # fmt: skip


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which experiments to list, and in what order; `cursor` is what the page before returned."""

    status: StatusName | None = None
    method: str | None = None
    tag: str | None = None
    q: str | None = None
    sort: SortKey = "-created_at"
    limit: int = 50
    cursor: str | None = None
    owner: str | None = None
    campaign: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed experiment found, for an identical one."""

    experiment_id: str
    energy_hartree: float | None
    result: bytes


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as it was posted; what becomes of it is told by its experiments."""

    id: str
    owner: str
    name: str
    tags: tuple[str, ...]
    size: int
    created_at: str


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a receiver has to be told; times are seconds since 1970."""

    id: str
    url: str
    origin: str
    body: str
    created_at: float
    due_at: float
    tries: int = 0


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes true together: rows, events and results of one transaction.

    `reusable` says with which versions a result was made (versions, id); `keys` are (owner, key, position, body hash,
    id).
    `durable` asks that it survives a power cut (``synchronous=FULL``), not only a crash of the process.
    """

    inserts: Sequence[Experiment] = ()
    updates: Sequence[Experiment] = ()
    events: Sequence[tuple[str, int, str]] = ()
    results: Sequence[tuple[str, bytes]] = ()
    reusable: Sequence[tuple[str, str]] = ()
    keys: Sequence[tuple[str, str, int, str, str]] = ()
    campaigns: Sequence[Campaign] = ()
    notifications: Sequence[Notification] = ()
    durable: bool = False


class Store(Protocol):
    """A place that keeps; every method may raise `errors.Unavailable` when it cannot do so now."""

    is_checked: bool
    """Whether the whole of it was found sound at the start."""

    async def finish_check(self) -> None:
        """Check what the start had no time for; raises `errors.StartRefused` where it is damaged."""

    async def tidy(self) -> None:
        """Give back what is no longer needed; called now and then."""

    async def thin(self, ended_before: str, limit: int) -> int:
        """Make the logs of at most `limit` experiments short that ended before then; returns how many were looked at.

        What is taken out is named in its place (`wire.Thinned`); results and files stay.
        """

    async def commit(self, commit: Commit) -> None:
        """All of `commit`, or nothing."""

    async def get(self, experiment_id: str) -> Experiment | None:
        """The experiment as its last status change left it."""

    async def active(self) -> list[Experiment]:
        """Every queued or running experiment, in the order of acceptance."""

    async def page(self, wanted: Filter) -> tuple[list[Experiment], str | None]:
        """One page, and the cursor of the next one."""

    async def events(
        self, experiment_id: str, after: int, limit: int, max_bytes: int = EVENT_BYTES
    ) -> list[tuple[int, str]]:
        """(seq, body) of at most `limit` events behind `after`, in order, and of no more than `max_bytes` of text.

        One event at least, if there is one, however long it is.
        """

    async def result(self, experiment_id: str) -> str | None:
        """The result as JSON text."""

    async def key(self, owner: str, key: str) -> tuple[str, list[str]] | None:
        """Body hash and experiment ids of an idempotency key of `owner`."""

    async def reusable(self, owner: str, hashes: Sequence[str], made_with: str) -> dict[str, Answer]:
        """By spec hash: the newest converged result of `owner` that was made with these versions."""

    async def token(self, token_id: str) -> TokenRow | None:
        """What is kept of a token."""

    async def any_token(self) -> bool:
        """Whether a token was ever made, good or not."""

    async def delete(self, experiment_id: str) -> None:
        """Forget an experiment with its events and result."""

    async def campaign(self, campaign_id: str) -> Campaign | None:
        """A campaign as it was posted."""

    async def campaigns(self, owner: str | None, limit: int, cursor: str | None) -> tuple[list[Campaign], str | None]:
        """One page of campaigns, the newest first, and the cursor of the next one."""

    async def member_counts(self, campaign_ids: Sequence[str]) -> list[dict[str, int]]:
        """For each campaign: how many of its experiments are in each status."""

    async def members(self, campaign_id: str) -> list[Member]:
        """The table of a campaign, in the order in which it was posted."""

    async def member_ids(self, campaign_id: str, *, active: bool = False) -> list[str]:
        """The experiments of a campaign, or those that have not ended."""

    async def delete_campaign(self, campaign_id: str) -> None:
        """Forget a campaign with its experiments."""

    async def due_notifications(self, origin: str, now_s: float, limit: int) -> tuple[list[Notification], float | None]:
        """What is due for an origin, the longest due first, and when the next of the others will be."""

    async def forget_notification(self, notification_id: str) -> None:
        """It has arrived, or will never."""

    async def postpone_notification(self, notification_id: str, tries: int, due_at: float) -> None:
        """It is to be tried again later."""

    async def waiting_notifications(self) -> int:
        """How many have not arrived yet."""

    async def counts(self) -> dict[str, int]:
        """How many experiments there are in each status."""
