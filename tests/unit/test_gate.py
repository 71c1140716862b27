"""Who comes in, with a clock of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kanad_server import tokens
from kanad_server.errors import KanadError, TooMany, Unauthorized
from kanad_server.gate import FRESH_S, TICKET_S, TICKETS_EACH, WRONG_S, WRONG_TRIES, Gate
from kanad_server.people import LOCAL, Person
from kanad_server.store.tokens import TokenRow

PAST = "2020-01-01T00:00:00.000Z"


class Rows:
    """A table of tokens in memory."""

    def __init__(self, *rows: TokenRow) -> None:
        self.rows = {row.id: row for row in rows}
        self.asked = 0

    async def token(self, token_id: str) -> TokenRow | None:
        self.asked += 1
        return self.rows.get(token_id)

    async def any_token(self) -> bool:
        return bool(self.rows)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def made(number: int = 1, role: str = "user", **changes: str) -> tuple[str, TokenRow]:
    token = f"kanad_{number:012x}_{'s' * 43}"
    fields = {"id": f"{number:012x}", "name": "ana", "role": role, "hash": tokens.hash_of(token), "created_at": ""}
    return token, TokenRow(**(fields | changes))  # type: ignore[arg-type]  # by name


async def test_without_tokens_this_machine_is_the_local_admin_and_another_is_nobody() -> None:
    assert await Gate(Rows(), may_be_open=True).person(None, "127.0.0.1") == LOCAL
    assert await Gate(Rows(), may_be_open=False).person(None, "10.0.0.1") is None


async def test_a_good_token_is_its_person_and_every_other_word_is_refused() -> None:
    token, row = made()
    gate = Gate(Rows(row), may_be_open=True)
    assert await gate.person(f"Bearer {token}", "a") == Person("ana", "user")
    assert await gate.person(f"bearer  {token} ", "a") == Person("ana", "user")
    assert await gate.person(None, "a") is None
    for wrong in ("", token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}t", "Bearer kanad_x_y"):
        with pytest.raises(Unauthorized):
            await gate.person(wrong, "a")


@pytest.mark.parametrize("ended", [made(revoked_at=PAST), made(expires_at=PAST)], ids=["revoked", "expired"])
async def test_a_revoked_or_expired_token_is_refused(ended: tuple[str, TokenRow]) -> None:
    token, row = ended
    with pytest.raises(Unauthorized):
        await Gate(Rows(row), may_be_open=True).person(f"Bearer {token}", "a")


async def test_what_changes_beside_the_server_counts_after_a_second_at_most() -> None:
    clock, (token, row), rows = Clock(), made(), Rows()
    gate = Gate(rows, may_be_open=True, monotonic=clock)
    assert await gate.person(None, "a") == LOCAL
    rows.rows[row.id] = row
    clock.now += FRESH_S
    assert await gate.person(None, "a") is None
    assert await gate.person(f"Bearer {token}", "a") == Person("ana", "user")
    rows.rows[row.id] = made(revoked_at=PAST)[1]
    clock.now += FRESH_S
    with pytest.raises(Unauthorized):
        await gate.person(f"Bearer {token}", "a")


async def test_after_twenty_wrong_tokens_no_other_is_looked_at_for_a_minute_but_those_known_as_good() -> None:
    clock, (token, row), (late, late_row) = Clock(), made(1), made(2)
    rows = Rows(row, late_row)
    gate = Gate(rows, may_be_open=True, monotonic=clock)
    await gate.person(f"Bearer {token}", "a")
    for _ in range(WRONG_TRIES):
        with pytest.raises(Unauthorized):
            await gate.person("Bearer wrong", "a")
    asked = rows.asked
    for word in ("wrong", late):
        with pytest.raises(TooMany) as caught:
            await gate.person(f"Bearer {word}", "a")
        assert 0 < caught.value.retry_after_s <= WRONG_S + 1
    assert rows.asked == asked
    assert await gate.person(f"Bearer {token}", "a") == Person("ana", "user")
    assert await gate.person(f"Bearer {late}", "elsewhere") == Person("ana", "user")
    clock.now += WRONG_S
    assert await gate.person(f"Bearer {late}", "a") == Person("ana", "user")


async def test_addresses_of_one_ipv6_subscriber_are_one() -> None:
    _, row = made()
    gate = Gate(Rows(row), may_be_open=True)
    for number in range(WRONG_TRIES):
        with pytest.raises(Unauthorized):
            await gate.person("Bearer wrong", f"2001:db8::{number}")
    with pytest.raises(TooMany):
        await gate.person("Bearer wrong", "2001:db8::ffff")
    with pytest.raises(Unauthorized):
        await gate.person("Bearer wrong", "2001:db8:1::1")


def test_a_ticket_lets_in_once_and_not_for_long() -> None:
    clock = Clock()
    gate = Gate(Rows(), may_be_open=True, monotonic=clock)
    first, second = gate.ticket(LOCAL), gate.ticket(LOCAL)
    assert gate.redeem(first) == LOCAL
    for word in (first, "guess"):
        with pytest.raises(Unauthorized):
            gate.redeem(word)
    clock.now += TICKET_S
    with pytest.raises(Unauthorized):
        gate.redeem(second)


def test_the_oldest_of_too_many_tickets_gives_way_to_the_newest_of_the_same_person() -> None:
    gate = Gate(Rows(), may_be_open=True)
    other = gate.ticket(Person("eve", "user"))
    words = [gate.ticket(LOCAL) for _ in range(TICKETS_EACH + 1)]
    with pytest.raises(Unauthorized):
        gate.redeem(words[0])
    assert gate.redeem(words[1]) == gate.redeem(words[-1]) == LOCAL
    assert gate.redeem(other).name == "eve"


def test_tokens_are_made_listed_revoked_and_forgotten_without_a_server(tmp_path: Path) -> None:
    assert tokens.listed(tmp_path) == []
    assert not tokens.are_good(tmp_path)
    token, row = tokens.create(tmp_path, name="ana", role="admin", expires_days=3)
    assert tokens.id_of(token) == row.id
    assert tokens.listed(tmp_path) == [row]
    assert tokens.are_good(tmp_path)
    assert token.removeprefix(f"kanad_{row.id}_").encode() not in (tmp_path / "kanad.sqlite").read_bytes()
    tokens.revoke(tmp_path, row.id)
    assert not tokens.are_good(tmp_path)
    with pytest.raises(KanadError, match="no token"):
        tokens.revoke(tmp_path, row.id)
    assert tokens.forget(tmp_path) == 1
    assert tokens.listed(tmp_path) == []


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "a b"}, {"name": "x" * 65}, {"role": "root"}, {"expires_days": 0}, {"expires_days": 9999}],
    ids=str,
)
def test_a_token_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(KanadError):
        tokens.create(tmp_path, **({"name": "ana", "role": "user"} | wrong))  # type: ignore[arg-type]  # by name
