"""Too many, too often: bounds for each person and each address. What is too large or too slow is in `tests/faults`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from websockets.sync.client import connect

from kanad_server.gate import WRONG_TRIES
from tests.support.people import bearer, token_for
from tests.support.server import Server, probe, wait_for

API = "/api/v1/experiments"


def test_one_persons_streams_are_bounded(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1", KANAD_MAX_VIEWERS_EACH="3")
    running = server.post(probe(steps=2_000, step_ms=20))["id"]
    address = f"{server.url.replace('http', 'ws', 1)}{API}/{running}/stream"
    with contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(connect(address, proxy=None)).recv(10)
        answer = server.http.get(f"{API}/{running}/events")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        assert int(answer.headers["retry-after"]) > 0
    wait_for(lambda: server.http.get(f"{API}/{running}/events").status_code == 200, "a place to be free")


def test_wrong_tokens_from_one_address_are_soon_not_looked_at(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    token = token_for(server, "ana")
    statuses = []
    for number in range(1_000):
        wrong = bearer(f"kanad_{number:012x}_{'x' * 43}")
        answer = server.http.get("/api/v1/system", headers=wrong)
        statuses.append(answer.status_code)
        assert answer.status_code == 401 or int(answer.headers["retry-after"]) > 0
    assert statuses == [401] * WRONG_TRIES + [429] * (1_000 - WRONG_TRIES)
    assert server.http.get("/api/v1/system", headers=bearer(token)).status_code == 200
    assert len(server.log().splitlines()) < 50
