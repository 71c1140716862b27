"""Who comes in: tokens, single-use tickets, and patience with wrong ones.

Without any token in the store a server that only this machine can reach is open: whoever asks is its local admin. From
the first token on, everybody needs one. What is known about a token is looked up again after a second, so that a token
made or revoked beside the running server counts from then on.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Protocol

import msgspec

from kanad_server import clock, tokens
from kanad_server.errors import TooMany, Unauthorized
from kanad_server.people import LOCAL, Person
from kanad_server.store.tokens import TokenRow

FRESH_S = 1.0
"""How long what the store said about tokens is believed."""
KNOWN_TOKENS = 4_096
WRONG_TRIES = 20
"""Wrong tokens from one address within `WRONG_S`; after that only tokens that were good before are looked at."""
WRONG_S = 60.0
WATCHED_ADDRESSES = 4_096
TICKET_S = 30
TICKETS_EACH = 100
"""Unused tickets of one person; the oldest gives way."""


class TokenStore(Protocol):
    """Where tokens are looked up."""

    async def token(self, token_id: str) -> TokenRow | None:
        """What is kept of a token."""

    async def any_token(self) -> bool:
        """Whether a token was ever made, good or not."""


class _Ticket(msgspec.Struct, frozen=True):
    person: Person
    until: float


class Gate:
    """Tells who asks. One for each server."""

    def __init__(
        self,
        store: TokenStore,
        *,
        may_be_open: bool,
        streams_each: int = 2_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._may_be_open = may_be_open
        self._monotonic = monotonic
        self._open: tuple[bool, float] = (False, float("-inf"))
        self._known: OrderedDict[str, tuple[Person, float]] = OrderedDict()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._tickets: OrderedDict[str, _Ticket] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self._streams_each = streams_each
        self.refused = 0

    async def is_open(self) -> bool:
        """Whether no token is needed: none was ever made, and only this machine can reach the server."""
        if not self._may_be_open:
            return False
        answer, asked_at = self._open
        if self._monotonic() - asked_at >= FRESH_S:
            answer = not await self._store.any_token()
            self._open = (answer, self._monotonic())
        return answer

    async def person(self, authorization: str | None, address: str) -> Person | None:
        """Who shows this ``Authorization`` header; None without one, where one is needed.

        Raises:
            Unauthorized: it is no token of this server, or one that was revoked or has expired.
            TooMany: too many wrong ones came from this address.
        """
        if await self.is_open():
            return LOCAL
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        return await self._bearer(token.strip() if scheme.lower() == "bearer" else "", _neighbourhood(address))

    def ticket(self, person: Person) -> str:
        """A word that lets `person` in once, within `TICKET_S`, for browsers that cannot set a header on a stream."""
        now = self._monotonic()
        while self._tickets and next(iter(self._tickets.values())).until <= now:
            self._tickets.popitem(last=False)
        own = [word for word, ticket in self._tickets.items() if ticket.person.name == person.name]
        for word in own[: max(0, len(own) - TICKETS_EACH + 1)]:
            del self._tickets[word]
        word = secrets.token_urlsafe(32)
        self._tickets[tokens.hash_of(word)] = _Ticket(person, now + TICKET_S)
        return word

    def redeem(self, word: str) -> Person:
        """Who was given this ticket; it is used up.

        Raises:
            Unauthorized: it is unknown, used, or too old.
        """
        ticket = self._tickets.pop(tokens.hash_of(word), None)
        if ticket is None or ticket.until <= self._monotonic():
            self.refused += 1
            raise Unauthorized(
                "invalid_ticket", f"the ticket is unknown, used or older than {TICKET_S} s; ask for another"
            )
        return ticket.person

    @contextmanager
    def stream(self, person: Person) -> Iterator[None]:
        """One open stream of this person.

        Raises:
            TooMany: the person has as many as one may have.
        """
        if self._streams[person.name] >= self._streams_each:
            raise TooMany("too_many_streams", f"{self._streams_each} streams are open, the limit; close some first")
        self._streams[person.name] += 1
        try:
            yield
        finally:
            self._streams[person.name] -= 1
            if not self._streams[person.name]:
                del self._streams[person.name]

    async def _bearer(self, token: str, address: str) -> Person:
        digest = tokens.hash_of(token)
        known = self._known.get(digest)
        if known is not None and self._monotonic() - known[1] < FRESH_S:
            return known[0]
        wait_s = self._wait_s(address)
        if known is None and wait_s > 0:
            self.refused += 1
            raise TooMany(
                "too_many_wrong_tokens",
                f"{WRONG_TRIES} wrong tokens came from this address within {WRONG_S:g} s",
                retry_after_s=int(wait_s) + 1,
            )
        token_id = tokens.id_of(token)
        row = None if token_id is None else await self._store.token(token_id)
        if row is None or not tokens.fits(token, row) or not row.is_good(clock.now()):
            self._known.pop(digest, None)
            self._remember_wrong(address)
            self.refused += 1
            raise Unauthorized("invalid_token", "the token is not one of this server, was revoked, or has expired")
        person = Person(row.name, row.role)
        self._known[digest] = (person, self._monotonic())
        self._known.move_to_end(digest)
        if len(self._known) > KNOWN_TOKENS:
            self._known.popitem(last=False)
        return person

    def _wait_s(self, address: str) -> float:
        """How long wrong tokens from this address are not looked at."""
        times = self._wrong.get(address)
        now = self._monotonic()
        while times and now - times[0] >= WRONG_S:
            times.popleft()
        return 0.0 if not times or len(times) < WRONG_TRIES else WRONG_S - (now - times[0])

    def _remember_wrong(self, address: str) -> None:
        self._wrong.setdefault(address, deque(maxlen=WRONG_TRIES)).append(self._monotonic())
        self._wrong.move_to_end(address)
        if len(self._wrong) > WATCHED_ADDRESSES:
            self._wrong.popitem(last=False)


def _neighbourhood(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one, which is a single subscriber's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) else address
