"""Whose turn it is: priorities, owners in turn, age; and honest places in the line."""

from __future__ import annotations

import asyncio
import random

from kanad_server.line import WaitingLine


async def served(line: WaitingLine) -> list[str]:
    return [await line.take() for _ in range(len(line))]


async def test_the_line_goes_by_priority_then_age() -> None:
    line = WaitingLine()
    for name, priority in (("b", 0), ("a", 0), ("z", 5), ("c", -1)):
        line.put(name, priority, "me")
    assert [line.position(name) for name in "zabc"] == [1, 2, 3, 4]
    line.remove("a")
    assert await served(line) == ["z", "b", "c"]
    assert line.position("a") is None


async def test_owners_are_served_in_turn_within_a_priority() -> None:
    line = WaitingLine()
    for number in range(4):
        line.put(f"crowd-{number}", 0, "crowd")
    line.put("one-0", 0, "one")
    line.put("urgent", 1, "crowd")
    assert await served(line) == ["urgent", "crowd-0", "one-0", "crowd-1", "crowd-2", "crowd-3"]


async def test_places_are_those_in_which_the_line_is_served() -> None:
    chance = random.Random(20261125)
    for _ in range(50):
        line = WaitingLine()
        names = [f"{number:03d}" for number in range(60)]
        for name in chance.sample(names, len(names)):
            line.put(name, chance.choice((0, 0, 3)), chance.choice("abcd"))
        for _ in range(10):
            await line.take()
        for name in chance.sample(names, 10):
            line.remove(name)
        places = {name: line.position(name) for name in names if name in line}
        assert {name: place for place, name in enumerate(await served(line), 1)} == places


async def test_one_that_waits_already_can_only_move_up() -> None:
    line = WaitingLine()
    line.put("a", 0, "me")
    line.put("b", 2, "me")
    line.put("a", 5, "me")
    line.put("a", -5, "me")
    assert await served(line) == ["a", "b"]


async def test_one_that_is_moved_goes_either_way_and_what_does_not_wait_stays_out() -> None:
    line = WaitingLine()
    for name in "abc":
        line.put(name, 0, "me")
    line.move("a", -1)
    line.move("c", 9)
    line.move("gone", 9)
    assert [line.position(name) for name in "abc"] == [3, 2, 1]
    assert await served(line) == ["c", "b", "a"]


async def test_who_waits_for_work_gets_it_and_who_leaves_takes_none_along() -> None:
    line = WaitingLine()
    leaving, staying = (asyncio.create_task(line.take(), name=f"taker-{n}") for n in range(2))
    await asyncio.sleep(0)
    line.put("a", 0, "me")
    leaving.cancel()
    await asyncio.wait((leaving, staying), return_when=asyncio.FIRST_COMPLETED)
    if not leaving.cancelled():
        line.put("b", 0, "me")
    assert await asyncio.wait_for(staying, 5) in ("a", "b")
    assert len(line) == 0


async def test_who_cannot_take_a_kind_takes_the_next_of_another() -> None:
    line = WaitingLine()
    line.put("a", 0, "me", 8)
    line.put("b", 0, "me", 1)
    line.put("c", 5, "you", 9)
    assert await line.take(lambda kind: kind < 5) == "b"
    assert line.position("a") == 2
    assert await line.take() == "c"
    assert await line.take() == "a"


async def test_a_kind_is_asked_about_once_and_a_taker_gets_what_it_claimed() -> None:
    line = WaitingLine()
    asked: list[object] = []

    def claim(kind: int) -> bool:
        asked.append(kind)
        return kind < room

    room = 1
    for number in range(100):
        line.put(f"{number:03d}", number % 3, f"owner-{number % 7}", 8)
    taking = asyncio.create_task(line.take(claim), name="taker")
    await asyncio.sleep(0)
    assert (asked, taking.done()) == ([8], False)
    line.look_again()
    assert not taking.done()
    room = 9
    line.look_again()
    assert await taking == "002"
    assert len(line) == 99


async def test_what_was_handed_to_a_taker_that_is_gone_waits_again() -> None:
    line = WaitingLine()
    taking = asyncio.create_task(line.take(), name="taker")
    await asyncio.sleep(0)
    line.put("a", 3, "me", 1)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert line.position("a") == 1
    assert await line.take(lambda kind: kind == 1) == "a"


async def test_what_was_handed_over_is_not_handed_over_again_before_its_taker_wakes() -> None:
    line = WaitingLine()
    takers = [asyncio.create_task(line.take()) for _ in range(2)]
    await asyncio.sleep(0)
    line.put("a", 0, "ana")
    line.put("a", 0, "ana")  # an identical experiment of the same batch
    assert await takers[0] == "a"
    line.put("b", 0, "ana")
    assert await takers[1] == "b"
    assert len(line) == 0
