"""The waiting line: the highest priority first, owners in turn within a priority, the oldest first for each owner.

Nobody's thousand experiments keep another person's one waiting. Putting in, taking out, removing and finding a place
cost the same with a million waiting as with a thousand, and with a thousand slots as with ten.

Who takes says what it can take: `claim` is asked about kinds of work (what they need), each once, and answers by
claiming. What nobody can take now stays, and lets others pass.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, TypeAlias

from sortedcontainers import SortedList

from kanad_server.errors import TooMany, Unavailable

Kind: TypeAlias = Hashable
Claim: TypeAlias = Callable[[Any], bool]
Place: TypeAlias = tuple[str, int, str, Kind]
"""Id, priority, owner and kind of what waits."""


def _anything(_: Kind) -> bool:
    return True


class WaitingLine:
    """Ids that wait; within an owner they sort by age (ids sort by time)."""

    def __init__(self) -> None:
        # For each priority: the owners in the order of their turns, each with what waits, by kind.
        self._turns: dict[int, OrderedDict[str, dict[Kind, SortedList]]] = {}
        self._place_of: dict[str, tuple[int, str, Kind]] = {}
        self._kinds: Counter[Kind] = Counter()
        self._takers: dict[asyncio.Future[Place], Claim] = {}
        self._handed: set[str] = set()
        """What was given to somebody who has not woken up yet: it neither waits nor may be put in again."""

    def __len__(self) -> int:
        return len(self._place_of)

    def __contains__(self, waiting_id: str) -> bool:
        return waiting_id in self._place_of

    def put(self, waiting_id: str, priority: int, owner: str, kind: Kind = None) -> None:
        """Let one wait its turn; one that waits already keeps the higher priority."""
        if waiting_id in self._handed:
            return
        known = self._place_of.get(waiting_id)
        if known is not None:
            if known[0] >= priority:
                return
            self.remove(waiting_id)
        owners = self._turns.setdefault(priority, OrderedDict())
        kinds = owners.setdefault(owner, {})
        if kind not in kinds:
            kinds[kind] = SortedList()
        kinds[kind].add(waiting_id)
        self._place_of[waiting_id] = (priority, owner, kind)
        self._kinds[kind] += 1
        for taker, claim in self._takers.items():
            if claim(kind):
                self._hand(taker, priority, owner, kind)
                break

    def move(self, waiting_id: str, priority: int) -> None:
        """Give one that waits another priority, higher or lower."""
        place = self._place_of.get(waiting_id)
        if place is not None and place[0] != priority:
            _, owner, kind = place
            self.remove(waiting_id)
            self.put(waiting_id, priority, owner, kind)

    async def take(self, claim: Claim = _anything) -> str:
        """The next one that `claim` takes; waits while there is none."""
        found = self._find(claim)
        if found is not None:
            return self._pop(*found)
        taker: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._takers[taker] = claim
        try:
            waiting_id, *_ = await taker
        except asyncio.CancelledError:
            self._takers.pop(taker, None)
            if not taker.cancelled():  # it was handed over in the moment before: it goes on waiting
                self._handed.discard(taker.result()[0])
                self.put(*taker.result())
            raise
        self._handed.discard(waiting_id)
        return waiting_id

    def look_again(self) -> None:
        """Something was given back: who waits to take may find something now."""
        while self._takers and self._place_of:
            for taker, claim in self._takers.items():
                found = self._find(claim)
                if found is not None:
                    self._hand(taker, *found)
                    break
            else:
                return

    def remove(self, waiting_id: str) -> None:
        """Take one out of the line, if it is there."""
        place = self._place_of.pop(waiting_id, None)
        if place is None:
            return
        priority, owner, kind = place
        owners = self._turns[priority]
        owners[owner][kind].remove(waiting_id)
        self._kinds[kind] -= 1
        if not self._kinds[kind]:
            del self._kinds[kind]
        if not owners[owner][kind]:
            del owners[owner][kind]
        if not owners[owner]:
            del owners[owner]
        if not owners:
            del self._turns[priority]

    def position(self, waiting_id: str) -> int | None:
        """1 for the next one; None for one that does not wait. True for as long as nobody joins or leaves."""
        place = self._place_of.get(waiting_id)
        if place is None:
            return None
        priority, owner, _ = place
        higher = sum(
            _count(kinds) for level, owners in self._turns.items() if level > priority for kinds in owners.values()
        )
        rounds: int = sum(waiting.bisect_left(waiting_id) for waiting in self._turns[priority][owner].values())
        others, has_come = 0, False
        for other, kinds in self._turns[priority].items():
            if other == owner:
                has_come = True
            else:  # who comes before the owner has had one turn more
                others += min(_count(kinds), rounds if has_come else rounds + 1)
        return higher + rounds + others + 1

    def kinds(self) -> list[Any]:
        """The kinds of work that wait."""
        return list(self._kinds)

    def of_kind(self, kind: Kind, most: int) -> list[str]:
        """At most so many that wait and are of this kind."""
        found = (
            waiting_id
            for owners in self._turns.values()
            for kinds in owners.values()
            for waiting_id in kinds.get(kind, ())
        )
        return list(islice(found, most))

    def _find(self, claim: Claim) -> tuple[int, str, Kind] | None:
        """Where the next one waits that `claim` takes: it has claimed."""
        answers: dict[Kind, bool] = {}
        for priority in sorted(self._turns, reverse=True):
            for owner, kinds in self._turns[priority].items():
                for kind in sorted(kinds, key=lambda kind: kinds[kind][0]) if len(kinds) > 1 else kinds:
                    if kind not in answers:
                        if claim(kind):
                            return priority, owner, kind
                        answers[kind] = False
                        if len(answers) == len(self._kinds):
                            return None
        return None

    def _hand(self, taker: asyncio.Future[Place], priority: int, owner: str, kind: Kind) -> None:
        """Give the next one of a place to somebody who waits, and has claimed."""
        del self._takers[taker]
        waiting_id = self._pop(priority, owner, kind)
        self._handed.add(waiting_id)
        taker.set_result((waiting_id, priority, owner, kind))

    def _pop(self, priority: int, owner: str, kind: Kind) -> str:
        waiting_id: str = self._turns[priority][owner][kind][0]
        self._turns[priority].move_to_end(owner)
        self.remove(waiting_id)
        return waiting_id


def _count(kinds: dict[Kind, SortedList]) -> int:
    return sum(map(len, kinds.values()))


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
