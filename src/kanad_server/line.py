"""The waiting line: the highest priority first, owners in turn within a priority, the oldest first for each owner.

Nobody's thousand experiments keep another person's one waiting. Putting in, taking out, removing and finding a place
cost the same with a million waiting as with a thousand.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

from sortedcontainers import SortedList

from kanad_server.errors import TooMany, Unavailable


class WaitingLine:
    """Ids that wait; within an owner they sort by age (ids sort by time)."""

    def __init__(self) -> None:
        # For each priority: the owners in the order of their turns, each with what waits.
        self._turns: dict[int, OrderedDict[str, SortedList]] = {}
        self._place_of: dict[str, tuple[int, str]] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._place_of)

    def __contains__(self, waiting_id: str) -> bool:
        return waiting_id in self._place_of

    def put(self, waiting_id: str, priority: int, owner: str) -> None:
        """Let one wait its turn; one that waits already keeps the higher priority."""
        known = self._place_of.get(waiting_id)
        if known is not None:
            if known[0] >= priority:
                return
            self.remove(waiting_id)
        owners = self._turns.setdefault(priority, OrderedDict())
        if owner not in owners:
            owners[owner] = SortedList()
        owners[owner].add(waiting_id)
        self._place_of[waiting_id] = (priority, owner)
        self._some.set()

    async def take(self) -> str:
        """The next one; waits while there is none."""
        while not self._place_of:
            self._some.clear()
            await self._some.wait()
        priority = max(self._turns)
        owner, waiting = next(iter(self._turns[priority].items()))
        waiting_id: str = waiting[0]
        self._turns[priority].move_to_end(owner)
        self.remove(waiting_id)
        return waiting_id

    def remove(self, waiting_id: str) -> None:
        """Take one out of the line, if it is there."""
        place = self._place_of.pop(waiting_id, None)
        if place is None:
            return
        priority, owner = place
        owners = self._turns[priority]
        owners[owner].remove(waiting_id)
        if not owners[owner]:
            del owners[owner]
        if not owners:
            del self._turns[priority]

    def position(self, waiting_id: str) -> int | None:
        """1 for the next one; None for one that does not wait. True for as long as nobody joins or leaves."""
        place = self._place_of.get(waiting_id)
        if place is None:
            return None
        priority, owner = place
        higher = sum(
            len(waiting) for level, owners in self._turns.items() if level > priority for waiting in owners.values()
        )
        rounds: int = self._turns[priority][owner].index(waiting_id)  # of the owner's own that go first
        others, has_come = 0, False
        for other, waiting in self._turns[priority].items():
            if other == owner:
                has_come = True
            else:  # who comes before the owner has had one turn more
                others += min(len(waiting), rounds if has_come else rounds + 1)
        return higher + rounds + others + 1


class Crowd:
    """Everyone who waits, counted for each owner, and bounded."""

    def __init__(self, most: int, most_per_owner: int) -> None:
        self._most = most
        self._most_per_owner = most_per_owner
        self._owner_of: dict[str, str] = {}
        self._waiting: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._owner_of)

    def check(self, owner: str, count: int) -> None:
        """Whether `count` more of `owner` may wait.

        Raises:
            Unavailable: with them there would be too many in all.
            TooMany: with them `owner` would have too many.
        """
        if len(self) + count > self._most:
            raise Unavailable(
                "queue_full",
                f"{len(self)} experiments are waiting, and {self._most} is the limit; post {count} later",
                retry_after_s=30,
            )
        if self._waiting[owner] + count > self._most_per_owner:
            raise TooMany(
                "too_many_waiting",
                f"{self._waiting[owner]} of your experiments are waiting, and {self._most_per_owner} is the limit;"
                f" post {count} later",
                retry_after_s=30,
            )

    def add(self, experiment_id: str, owner: str) -> None:
        """One more waits."""
        if experiment_id not in self._owner_of:
            self._owner_of[experiment_id] = owner
            self._waiting[owner] += 1

    def discard(self, experiment_id: str) -> None:
        """It waits no more."""
        owner = self._owner_of.pop(experiment_id, None)
        if owner is not None:
            self._waiting[owner] -= 1
            if not self._waiting[owner]:
                del self._waiting[owner]
