"""Who asks, and what one may see: a name owns experiments, a role says what may be done with them."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

Role: TypeAlias = Literal["viewer", "user", "admin"]
RANK: dict[Role, int] = {"viewer": 0, "user": 1, "admin": 2}


class Owned(Protocol):
    """What belongs to somebody: an experiment, a campaign."""

    @property
    def owner(self) -> str:
        """The name of the person it belongs to."""


class Person(msgspec.Struct, frozen=True):
    """Who asks. Several tokens may carry one name: what it owns is the same for all of them."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this person's role is `role` or above it."""
        return RANK[self.role] >= RANK[role]

    def sees(self, owned: Owned) -> bool:
        """Whether it exists for this person: one's own does, and everything for an admin."""
        return self.role == "admin" or owned.owner == self.name


LOCAL = Person("local", "admin")
"""The one person of a server without tokens: whoever uses this machine."""
