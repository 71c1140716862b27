"""Who asks, and what one may see: a name owns experiments, a role says what may be done with them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from kanad_server.wire import Experiment

Role: TypeAlias = Literal["viewer", "user", "admin"]
RANK: dict[Role, int] = {"viewer": 0, "user": 1, "admin": 2}


class Person(msgspec.Struct, frozen=True):
    """Who asks. Several tokens may carry one name: what it owns is the same for all of them."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this person's role is `role` or above it."""
        return RANK[self.role] >= RANK[role]

    def sees(self, experiment: Experiment) -> bool:
        """Whether the experiment exists for this person: one's own do, and all of them for an admin."""
        return self.role == "admin" or experiment.owner == self.name


LOCAL = Person("local", "admin")
"""The one person of a server without tokens: whoever uses this machine."""
