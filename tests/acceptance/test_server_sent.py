"""Server-sent events over real sockets: the log, then live, to the end; coming back; what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.people import token_for
from tests.support.server import Server, probe, wait_for

EXPERIMENTS = "/api/v1/experiments"


@contextmanager
def listening(
    server: Server, experiment_id: str, *, last: int | None = None, query: str = ""
) -> Iterator[Iterator[tuple[int, dict[str, Any]]]]:
    """(id, event) as a browser would take them."""
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
    with server.http.stream("GET", f"{EXPERIMENTS}/{experiment_id}/events{query}", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield number, json.loads(value)


def test_the_log_then_live_then_the_end(server: Server) -> None:
    experiment_id = server.post(probe(steps=60, step_ms=10))["id"]
    server.running(experiment_id, 5)
    with listening(server, experiment_id) as events:
        seen = list(events)
    assert [number for number, _ in seen] == [event["seq"] for _, event in seen]
    assert [event for _, event in seen] == server.events(experiment_id)
    assert seen[-1][1]["status"] == "completed"


def test_a_line_that_is_cut_goes_on_behind_the_last_event(server: Server) -> None:
    experiment_id = server.post(probe(steps=80, step_ms=10))["id"]
    seen: list[dict[str, Any]] = []
    for wanted in (7, 20, None):
        with listening(server, experiment_id, last=len(seen) or None, query="?after=0") as events:
            for number, event in events:
                seen.append(event)
                if wanted is not None and number >= wanted:
                    break
    assert seen == server.events(experiment_id)


def test_a_restarted_server_goes_on_behind_the_last_event(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    experiment_id = server.post(probe(steps=60, step_ms=20))["id"]
    seen: list[dict[str, Any]] = []
    with listening(server, experiment_id) as events:
        for _, event in events:
            seen.append(event)
            if len(seen) == 6:
                server.process.send_signal(signal.SIGTERM)  # an orderly end ends the answer in an orderly way
    assert server.process.wait(20) == 0
    server.stop()
    server.start()
    with listening(server, experiment_id, last=len(seen)) as events:
        seen += [event for _, event in events]
    assert seen == server.events(experiment_id)
    assert seen[-1]["status"] == "completed"


def test_who_has_everything_of_an_ended_one_is_told_to_stay_away(server: Server) -> None:
    experiment_id = server.post(probe(steps=1))["id"]
    last = server.ended(experiment_id)["last_seq"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    assert server.http.get(f"{EXPERIMENTS}/{experiment_id}/events", headers=headers).status_code == 204


@pytest.mark.parametrize("last", ["10000", "-1", "x", "", "1" * 40, "\xb2"])
def test_a_position_that_cannot_be_is_refused(server: Server, last: str) -> None:
    experiment_id = server.post(probe(steps=1))["id"]
    headers = httpx.Headers({"Accept": "text/event-stream", "Last-Event-ID": last}, encoding="latin-1")
    answer = server.http.get(f"{EXPERIMENTS}/{experiment_id}/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_after")


def test_an_unknown_one_is_not_found(server: Server) -> None:
    answer = server.http.get(f"{EXPERIMENTS}/none/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_viewer_that_leaves_is_forgotten(server: Server) -> None:
    experiment_id = server.post(probe(steps=1000, step_ms=20))["id"]
    with listening(server, experiment_id) as events:
        next(events)
        assert server.system()["viewers"] == 1
    wait_for(lambda: server.system()["viewers"] == 0, "the viewer to be forgotten")
    server.http.post(f"{EXPERIMENTS}/{experiment_id}/cancel")


def test_a_ticket_opens_it_once_and_only_for_its_person(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    own = {"Authorization": f"Bearer {token_for(server, 'ana')}"}
    others = {"Authorization": f"Bearer {token_for(server, 'eve')}"}
    path = f"{EXPERIMENTS}/{server.post(probe(steps=3), **own)['id']}/events"

    def listen(headers: dict[str, str] | None = None) -> httpx.Response:
        ticket = server.http.post("/api/v1/tickets", headers=headers).json()["ticket"] if headers else "made-up"
        answers = [
            server.http.get(f"{path}?ticket={ticket}", headers={"Accept": "text/event-stream"}) for _ in range(2)
        ]
        assert answers[1].status_code == 401
        return answers[0]

    assert "completed" in listen(own).text
    assert listen(others).status_code == 404
    assert listen().json()["code"] == "invalid_ticket"
