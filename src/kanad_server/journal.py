"""The only writer of events: number, commit, then publish.

A change is applied to the experiment's head (its newest state, in memory) at once and without an await, so that
numbers never collide. One task commits all that waits in one transaction, and only then tells the hub. What a
reader sees (`current`) is the committed state.

When the store cannot write, acceptances that wait are refused (their callers get `Unavailable`), and everything
else is kept and tried again; `room` holds the slot readers back, so that memory stays bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from kanad_server import clock, lifecycle, webhooks
from kanad_server.errors import Conflict, Unavailable, no_experiment
from kanad_server.hub import Hub
from kanad_server.lifecycle import Change
from kanad_server.store import Answer, Campaign, Commit, Store
from kanad_server.wire import Experiment, Progress

log = logging.getLogger(__name__)

MAX_PENDING_EVENTS = 10_000
"""Above this many uncommitted events the slots are not read; their pipes fill and the solvers wait."""
MAX_HELD_BYTES = 8 * 1024 * 1024
"""The same for their bytes: a few thousand large messages are more than memory should hold."""
MAX_EVENTS_PER_COMMIT = 2_000
RETRY_S = 0.5
PACE_S = 0.003
"""Commits begin at least so far apart; an idle journal commits at once. Measured with 200 small experiments: 0 ms 370
a second (3.5 commits each), 2 ms 400 (1.1), 4 ms 420 (0.6)."""

FEW = 8
"""With so few experiments under way nothing is gained by the pace: an acceptance or an end does not wait for it."""

_encode = msgspec.json.Encoder().encode
_WITH_RESULT = (lifecycle.Complete, lifecycle.Reuse)


class Key(msgspec.Struct, frozen=True):
    """An idempotency key as it came with a body."""

    owner: str
    key: str
    body_hash: str


New: TypeAlias = tuple[Experiment, lifecycle.Reuse | None]
"""An experiment to be accepted, and the result that answers it at once, if there is one."""


class Acceptance(msgspec.Struct, kw_only=True):
    """Experiments that are accepted together or not at all; `entered` hears once which it is."""

    future: asyncio.Future[None]
    ids: list[str]
    entered: Callable[[bool], None]
    key: Key | None = None
    campaign: Campaign | None = None

    def end(self, error: Unavailable | None = None) -> None:
        """Tell who waits; the first word counts."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)
            self.future.exception()  # retrieved: the caller may have gone
        self.entered(error is None)


class _Entry(msgspec.Struct, kw_only=True):
    """One applied change on its way to the store."""

    experiment: Experiment
    events: Sequence[tuple[str, int, str]]
    status_changed: bool = False
    result: bytes | None = None
    made_with: str | None = None
    acceptance: Acceptance | None = None

    @property
    def size(self) -> int:
        return sum(len(body) for _, _, body in self.events)

    @property
    def needs_sync(self) -> bool:
        return self.acceptance is not None or self.experiment.is_final or self.experiment.cancel_requested


class Journal:
    """Numbers events, commits them in groups and publishes them. `run` is its one task."""

    def __init__(self, store: Store, hub: Hub, now: Callable[[], str] = clock.now) -> None:
        self._store = store
        self._hub = hub
        self._now = now
        self._heads: dict[str, Experiment] = {}
        self._committed: dict[str, Experiment] = {}
        self._keys: dict[tuple[str, str], tuple[str, Acceptance]] = {}
        self._pending: list[_Entry] = []
        self._pending_events = 0
        self._in_flight = 0
        self._held_bytes = 0
        self._entered = self._left = 0  # entries that came, and that are committed or refused
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._settled = asyncio.Condition()
        self.failure: Unavailable | None = None
        self.on_status: Callable[[Experiment], None] = _nobody
        self.on_notify: Callable[[], None] = lambda: None
        self.commits = 0
        self.events_published = 0

    # What others ask

    async def recover(self) -> list[Experiment]:
        """Take up every active experiment of the store; returns them in the order of acceptance."""
        active = await self._store.active()
        for experiment in active:
            self._heads[experiment.id] = self._committed[experiment.id] = experiment
        return active

    async def accept(
        self,
        decide: Callable[[], Sequence[New]],
        *,
        entered: Callable[[bool], None] = lambda _: None,
        key: Key | None = None,
        campaign: Campaign | None = None,
    ) -> tuple[list[Experiment], bool]:
        """Keep new experiments durably, all or nothing; returns them, and whether they are new (or the key was used).

        Nothing comes between the call of `decide`, which says what they are, and their place in the journal.
        `entered` is called once: with True in the moment they are committed, or with False when they are refused.

        Raises:
            Conflict: the key was used before, with another body.
            Unavailable: the store cannot write; nothing was kept.
        """
        if key is not None:
            earlier = await self._earlier(key)
            if earlier is not None:
                return earlier, False
        new = decide()
        acceptance = Acceptance(
            future=asyncio.get_running_loop().create_future(),
            ids=[experiment.id for experiment, _ in new],
            entered=entered,
            key=key,
            campaign=campaign,
        )
        accepted = [self._enter(experiment, reuse, acceptance) for experiment, reuse in new]
        if key is not None:
            self._keys[key.owner, key.key] = (key.body_hash, acceptance)
        # Shielded: a client that hangs up does not undo what is being committed.
        await asyncio.shield(acceptance.future)
        return accepted, True

    def _enter(self, experiment: Experiment, reuse: lifecycle.Reuse | None, acceptance: Acceptance) -> Experiment:
        accepted, events = lifecycle.accepted(experiment, self._now())
        if reuse is not None:
            accepted, more = lifecycle.apply(accepted, reuse, self._now())
            events += more
        self._heads[accepted.id] = accepted
        self._enqueue(
            _Entry(
                experiment=accepted,
                events=_bodies(events),
                result=None if reuse is None else reuse.result,
                made_with=None if reuse is None else reuse.made_with,
                acceptance=acceptance,
            )
        )
        return accepted

    def propose(self, experiment_id: str, change: Change) -> Experiment:
        """Apply `change` now, to be committed soon; returns the experiment's new head.

        Raises:
            RefusedChange: it does not fit the experiment's state.
            KeyError: the experiment is not active (see `propose_to_ended`).
        """
        before = self._heads[experiment_id]
        after, events = lifecycle.apply(before, change, self._now())
        self._heads[experiment_id] = after
        self._enqueue(
            _Entry(
                experiment=after,
                events=_bodies(events),
                status_changed=not isinstance(change, lifecycle.Hear),
                result=change.result if isinstance(change, _WITH_RESULT) else None,
                made_with=change.made_with if isinstance(change, _WITH_RESULT) else None,
            )
        )
        return after

    async def propose_to_ended(self, experiment_id: str, change: Change) -> Experiment:
        """`propose` for an experiment that may have ended long ago (a retry).

        Raises:
            NotFound: there is no such experiment.
            RefusedChange: it does not fit the experiment's state.
        """
        stored = None
        if experiment_id not in self._heads:
            stored = await self._store.get(experiment_id)
            if stored is None:
                raise no_experiment(experiment_id)
            self._heads.setdefault(experiment_id, stored)
        try:
            return self.propose(experiment_id, change)
        except lifecycle.RefusedChange:
            if self._heads.get(experiment_id) is stored:
                del self._heads[experiment_id]
            raise

    def head(self, experiment_id: str) -> Experiment | None:
        """The newest state of an active experiment, committed or not."""
        return self._heads.get(experiment_id)

    def active(self) -> Iterable[Experiment]:
        """The newest state of every active experiment."""
        return self._heads.values()

    async def current(self, experiment_id: str) -> Experiment | None:
        """The committed state of any experiment."""
        return self._committed.get(experiment_id) or await self._store.get(experiment_id)

    async def events(self, experiment_id: str, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        """(seq, body) of at most `limit` committed events behind `after`, and of no more text than `max_bytes`."""
        return await self._store.events(experiment_id, after, limit, max_bytes)

    async def ended_at(self, experiment_id: str) -> int | None:
        """The last number of an experiment that has ended (or was deleted); None while more may come."""
        experiment = await self.current(experiment_id)
        if experiment is None:
            return 0
        return experiment.last_seq if experiment.is_final else None

    async def reusable(self, owner: str, hashes: Sequence[str], made_with: str) -> dict[str, Answer]:
        """By spec hash: the newest converged result of `owner` that was made with these versions."""
        return await self._store.reusable(owner, hashes, made_with)

    def live(self, stored: Experiment) -> Experiment:
        """`stored` with its live progress, where it is active."""
        return self._committed.get(stored.id, stored)

    def committed(self, experiment_id: str) -> Experiment | None:
        """The committed state of an experiment that has not ended."""
        return self._committed.get(experiment_id)

    async def settle(self) -> None:
        """Wait until everything proposed so far is committed and published."""
        entered = self._entered
        async with self._settled:
            await self._settled.wait_for(lambda: self._left >= entered)

    @property
    def uncommitted(self) -> int:
        """Events on their way to the store."""
        return self._pending_events + self._in_flight

    @property
    def has_room(self) -> bool:
        """Whether the slots may be read."""
        return self._pending_events + self._in_flight < MAX_PENDING_EVENTS and self._held_bytes < MAX_HELD_BYTES

    async def room(self) -> None:
        """Wait until there is room for more events."""
        if not self.has_room:
            async with self._settled:
                await self._settled.wait_for(lambda: self.has_room)

    # The task

    async def run(self) -> None:
        """Commit and publish until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                self._urgent.clear()
                begun = loop.time()
                await self._commit_some()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(begun + PACE_S):
                        await self._urgent.wait()

    async def _commit_some(self) -> None:
        batch = self._take()
        try:
            await self._store.commit(_commit_of(batch))
        except Unavailable as error:
            self._keep_for_later(batch, error)
            async with self._settled:
                self._settled.notify_all()
            await asyncio.sleep(RETRY_S)
            return
        self.failure = None
        self.commits += 1
        self._publish(batch)
        self._in_flight = 0
        self._left += len(batch)
        async with self._settled:
            self._settled.notify_all()

    def _take(self) -> list[_Entry]:
        count = events = 0
        together = None
        for entry in self._pending:
            is_apart = entry.acceptance is None or entry.acceptance is not together
            if count and is_apart and events + len(entry.events) > MAX_EVENTS_PER_COMMIT:
                break
            together = entry.acceptance
            count += 1
            events += len(entry.events)
        batch, self._pending = self._pending[:count], self._pending[count:]
        self._pending_events -= events
        self._in_flight = events
        return batch

    def _keep_for_later(self, batch: list[_Entry], error: Unavailable) -> None:
        """Refuse the acceptances of a failed commit; put the rest back in front."""
        if self.failure is None:
            log.error("the store cannot commit; holding results until it can", extra={"cause": str(error)})
        self.failure = error
        refused = {entry.experiment.id for entry in batch if entry.acceptance is not None}
        kept = [entry for entry in batch if entry.experiment.id not in refused]
        for entry in batch:
            if entry.acceptance is not None:
                del self._heads[entry.experiment.id]
        self._pending[:0] = kept
        self._left += len(batch) - len(kept)
        self._held_bytes -= sum(entry.size for entry in batch) - sum(entry.size for entry in kept)
        self._pending_events += sum(len(entry.events) for entry in kept)
        self._in_flight = 0
        self._wake.set()
        self._end_acceptances(batch, error)

    def _publish(self, batch: list[_Entry]) -> None:
        for entry in batch:
            experiment = entry.experiment
            if experiment.is_final:
                self._committed.pop(experiment.id, None)
                if self._heads.get(experiment.id) is experiment:
                    del self._heads[experiment.id]
            else:
                self._committed[experiment.id] = experiment
            self.events_published += len(entry.events)
            self._held_bytes -= entry.size
            self._hub.publish(experiment, entry.events)
            if entry.status_changed:
                self.on_status(experiment)
            if experiment.is_final and experiment.spec.notify:
                self.on_notify()
        self._end_acceptances(batch)

    def _end_acceptances(self, batch: list[_Entry], error: Unavailable | None = None) -> None:
        for entry in batch:
            if entry.acceptance is not None:
                key = entry.acceptance.key
                if key is not None:
                    self._keys.pop((key.owner, key.key), None)
                entry.acceptance.end(error)

    def _enqueue(self, entry: _Entry) -> None:
        self._pending.append(entry)
        self._entered += 1
        self._pending_events += len(entry.events)
        self._held_bytes += entry.size
        self._wake.set()
        if entry.needs_sync and len(self._heads) <= FEW:
            self._urgent.set()

    async def _earlier(self, key: Key) -> list[Experiment] | None:
        """What the first use of a key made; None for a key that is new (and nothing has come since that was seen)."""
        known = await self._store.key(key.owner, key.key)
        if (key.owner, key.key) in self._keys:
            body_hash, acceptance = self._keys[key.owner, key.key]
            await asyncio.shield(acceptance.future)
            known = (body_hash, acceptance.ids)
        if known is None:
            return None
        body_hash, ids = known
        if body_hash != key.body_hash:
            raise Conflict(
                "idempotency_key_reused",
                "this Idempotency-Key was used before with another body; use a new key for a new experiment",
                experiment_id=ids[0],
            )
        found = [await self.current(experiment_id) for experiment_id in ids]
        experiments = [experiment for experiment in found if experiment is not None]
        if not experiments:
            raise Conflict("idempotency_key_reused", "what was made with this Idempotency-Key was deleted")
        return experiments


def _nobody(experiment: Experiment) -> None:
    """Who is told about a new status as long as nobody wants to know."""


def _bodies(events: Sequence[Progress]) -> list[tuple[str, int, str]]:
    return [(event.experiment_id, event.seq, _encode(event).decode()) for event in events]


def _commit_of(batch: list[_Entry]) -> Commit:
    """One transaction from many entries: an experiment's last status change wins."""
    updates = {
        entry.experiment.id: entry.experiment for entry in batch if entry.status_changed and entry.acceptance is None
    }
    acceptances = {id(a): a for entry in batch if (a := entry.acceptance) is not None}.values()
    return Commit(
        inserts=[entry.experiment for entry in batch if entry.acceptance is not None],
        updates=list(updates.values()),
        events=[event for entry in batch for event in entry.events],
        results=[(entry.experiment.id, entry.result) for entry in batch if entry.result is not None],
        reusable=[(entry.made_with, entry.experiment.id) for entry in batch if entry.made_with is not None],
        keys=[
            (a.key.owner, a.key.key, position, a.key.body_hash, experiment_id)
            for a in acceptances
            if a.key is not None
            for position, experiment_id in enumerate(a.ids)
        ],
        notifications=[
            one
            for entry in batch
            if entry.experiment.spec.notify and entry.experiment.is_final and (entry.status_changed or entry.acceptance)
            for one in webhooks.notifications(entry.experiment, time.time())
        ],
        campaigns=[a.campaign for a in acceptances if a.campaign is not None],
        durable=any(entry.needs_sync for entry in batch),
    )
