"""Peers that do not read, do not answer, or ask for too much: what happens to them, and to nobody else."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.people import bearer, token_for
from tests.support.server import Server, probe, wait_for

EXPERIMENTS = "/api/v1/experiments"
MOST_BUFFERED = 256 * 1024
RECEIVE_BYTES = 4096


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose patience is short."""
    short = {"KANAD_STALLED_S": "1.5", "KANAD_BEAT_S": "0.3", "KANAD_SILENT_S": "2"}
    server = Server(tmp_path_factory.mktemp("impatient"), "--slots", "2", environment=short)
    server.ready()
    yield server
    assert server.stop() == 0, server.log()


@contextmanager
def raw_viewer(server: Server, path: str) -> Iterator[socket.socket]:
    """A WebSocket that does nothing by itself, with a small place for what comes."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        line.settimeout(30)
        line.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert line.recv(12) == b"HTTP/1.1 101"
        yield line


def rest_of(line: socket.socket) -> bytes:
    """What still comes, to the end."""
    data = b""
    try:
        while part := line.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def loud(steps: int = 4_000) -> dict[str, object]:
    return probe(steps=steps, step_ms=1, payload_bytes=4_000)


def read_whole(server: Server, experiment_id: str) -> list[int]:
    """The numbers that a viewer who reads is shown."""
    seen: list[int] = []
    with connect(f"{server.url.replace('http', 'ws', 1)}{EXPERIMENTS}/{experiment_id}/stream", proxy=None) as reader:
        for frame in reader:
            news = json.loads(frame)
            seen += [event["seq"] for event in (news if isinstance(news, list) else [news])]
    return seen


def test_one_that_reads_nothing_is_cut_off_and_the_others_get_everything(impatient: Server) -> None:
    experiment_id = impatient.post(loud())["id"]
    with raw_viewer(impatient, f"{EXPERIMENTS}/{experiment_id}/stream") as line:
        seen = read_whole(impatient, experiment_id)
        assert seen == list(range(1, len(seen) + 1))
        assert impatient.get(experiment_id)["last_seq"] == len(seen)
        wait_for(lambda: impatient.system()["viewers"] == 0, "the stalled one to be cut off", 20)
        assert len(rest_of(line)) <= MOST_BUFFERED


def test_one_that_reads_too_late_is_told_1013(impatient: Server) -> None:
    experiment_id = impatient.post(loud(100_000))["id"]
    impatient.running(experiment_id)
    for _ in range(5):  # the goodbye lasts a second, for which this process may have been asleep
        with raw_viewer(impatient, f"{EXPERIMENTS}/{experiment_id}/stream") as line:
            wait_for(lambda: impatient.system()["viewers"] == 1, "the viewer to be counted")
            wait_for(lambda: impatient.system()["viewers"] == 0, "the end of patience", 20)
            data = rest_of(line)
        assert len(data) <= MOST_BUFFERED
        reason = data.rfind(b"nothing was read for 1.5 s")
        if reason != -1:
            break
    assert data[reason - 2 : reason] == (1013).to_bytes(2, "big")
    impatient.http.post(f"{EXPERIMENTS}/{experiment_id}/cancel")


def test_one_that_answers_no_ping_is_found_dead(impatient: Server) -> None:
    experiment_id = impatient.post(probe(steps=100_000, step_ms=50))["id"]
    with raw_viewer(impatient, f"{EXPERIMENTS}/{experiment_id}/stream") as line:
        assert rest_of(line)  # reads everything, says nothing, and is cut off
    wait_for(lambda: impatient.system()["viewers"] == 0, "the dead one to be forgotten")
    impatient.http.post(f"{EXPERIMENTS}/{experiment_id}/cancel")


def test_one_viewer_too_many_is_told_1013_or_503(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1", KANAD_MAX_VIEWERS="2")
    experiment_id = server.post(probe(steps=100_000, step_ms=50))["id"]
    address = f"{server.url.replace('http', 'ws', 1)}{EXPERIMENTS}/{experiment_id}/stream"
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(connect(address, proxy=None)).recv(10)
        with connect(address, proxy=None) as third, pytest.raises(ConnectionClosed) as refused:
            third.recv(10)
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1013
        answer = server.http.get(f"{EXPERIMENTS}/{experiment_id}/events", headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_viewers")


def test_somebody_elses_experiment_cannot_be_subscribed_to(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    ana, eve = bearer(token_for(server, "ana")), bearer(token_for(server, "eve"))
    experiment_id = server.post(probe(steps=1), **ana)["id"]
    with connect(
        f"{server.url.replace('http', 'ws', 1)}/api/v1/stream", proxy=None, additional_headers=eve
    ) as socket_of_eve:
        for wanted in (experiment_id, "no-such-experiment"):
            socket_of_eve.send(json.dumps({"op": "subscribe", "id": wanted}))
            answer = json.loads(socket_of_eve.recv(10))
            assert (answer["type"], answer["code"]) == ("error", "not_found")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_patience_as_it_is_ten_seconds_for_the_stalled_and_thirty_for_the_dead(server: Server) -> None:
    """The deadlines of a server without settings, on the clock."""
    busy, quiet = (server.post(spec)["id"] for spec in (loud(40_000), probe(steps=100_000, step_ms=100)))
    with (
        raw_viewer(server, f"{EXPERIMENTS}/{busy}/stream"),
        raw_viewer(server, f"{EXPERIMENTS}/{quiet}/stream") as dead,
    ):
        begun = time.monotonic()
        wait_for(lambda: server.system()["viewers"] == 2, "both to be there")
        while server.system()["viewers"] == 2:
            time.sleep(0.1)
        stalled_s = time.monotonic() - begun
        rest_of(dead)
        dead_s = time.monotonic() - begun
    for experiment_id in (busy, quiet):
        server.http.post(f"{EXPERIMENTS}/{experiment_id}/cancel")
    print(f"stalled: gone after {stalled_s:.1f} s; dead: after {dead_s:.1f} s")
    assert stalled_s <= 10
    assert dead_s <= 30
