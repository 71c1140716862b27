"""Too many, too large, too slow, too often: the one who behaves is served all the while."""

from __future__ import annotations

import contextlib
import gzip
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from kanad_server.gate import WRONG_TRIES
from tests.support.people import bearer, token_for
from tests.support.server import Server, probe, wait_for

API = "/api/v1/experiments"
STALL_S = 0.25
GROWTH_MB = 20


class Healthy:
    """A client that asks five times a second, and what came of it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._done = threading.Event()
        self.failures: list[str] = []
        self.times: list[float] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Healthy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)

    def _ask(self) -> None:
        while not self._done.wait(0.2):
            begun = time.monotonic()
            try:
                answer = httpx.get(f"{self._server.url}/health/live", timeout=10, trust_env=False)
                if answer.status_code != 200:
                    self.failures.append(answer.text)
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
            self.times.append(time.monotonic() - begun)


def memory_mb(server: Server) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def largest_stall_s(server: Server) -> float:
    text = server.http.get("/metrics").text
    return float(text.partition("\nkanad_loop_stall_max_seconds ")[2].split()[0])


def line_to(server: Server) -> socket.socket:
    address = httpx.URL(server.url)
    return socket.create_connection((address.host, address.port or 80), timeout=20)


def chunked(total: int) -> Iterator[bytes]:
    for _ in range(total // 65_536):
        yield b"x" * 65_536


def posted(server: Server, content: bytes | Iterator[bytes], **headers: str) -> int | None:
    """The status; None where the server hung up before the client had sent all."""
    try:
        kind = {"Content-Type": "application/json"}
        return httpx.post(f"{server.url}{API}", content=content, headers=kind | headers, trust_env=False).status_code
    except httpx.HTTPError:
        return None


def announced(server: Server) -> int:
    """The status of a request that only says how long it would be."""
    with line_to(server) as line:
        line.sendall(f"POST {API} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {300 * 2**20}\r\n\r\n".encode())
        return int(line.recv(65_536).split()[1])


INPUTS: dict[str, tuple[Callable[[Server], int | None], tuple[int | None, ...]]] = {
    "300 MB in chunks": (lambda server: posted(server, chunked(300 * 2**20)), (413, None)),
    "300 MB announced": (announced, (413,)),
    "1e5 levels": (lambda server: posted(server, b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), (400,)),
    "1e5 levels in a string": (lambda server: posted(server, b'{"name":"' + b"[" * 100_000 + b'"}'), (422,)),
    "1.9e6 numbers": (lambda server: posted(server, b'{"molecule":[' + b"0," * 1_900_000 + b"0]}"), (422,)),
    "5e6 numbers": (lambda server: posted(server, b"[" + b"0," * 5_000_000 + b"0]"), (413,)),
    "1e6 wrong atoms": (
        lambda server: posted(server, b'{"molecule":{"atoms":[' + b"{}," * 1_000_000 + b"{}]}}"), (422,)),
    "4 MB of nesting pairs": (lambda server: posted(server, b"[" + b"[]," * 1_300_000 + b"[]]"), (422,)),
    "1e6 numbers and a NaN": (lambda server: posted(server, b'{"a":[' + b"1.5," * 900_000 + b"NaN]}"), (422,)),
    "a gzip bomb": (
        lambda server: posted(server, gzip.compress(bytes(100 * 2**20)), **{"Content-Encoding": "gzip"}), (415, None)),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_too_large_costs_little_and_is_refused(server: Server, name: str) -> None:
    server.http.post("/api/v1/estimate", json=probe(steps=1))
    send, expected = INPUTS[name]
    before = memory_mb(server)
    with Healthy(server) as healthy:
        assert send(server) in expected
        assert server.http.get("/health/live").status_code == 200
    assert healthy.failures == []
    # What was freed may stay with the process for a while; what is kept would add up.
    wait_for(lambda: memory_mb(server) - before < 2 * GROWTH_MB, "the memory to be given back")


def test_a_message_that_is_too_long_closes_with_1009(server: Server) -> None:
    running = server.post(probe(steps=2_000, step_ms=20))["id"]
    before = memory_mb(server)
    address = f"{server.url.replace('http', 'ws', 1)}{API}/{running}/stream"
    with connect(address, proxy=None, compression=None, max_size=None) as peer:
        with contextlib.suppress(ConnectionClosed):
            peer.send("x" * 20 * 2**20)
        with contextlib.suppress(ConnectionClosed):
            while True:
                peer.recv(20)
        assert peer.close_code in (1009, 1006)
    wait_for(lambda: memory_mb(server) - before < GROWTH_MB, "the memory to be given back")
    server.http.post(f"{API}/{running}/cancel")


def test_a_viewer_that_talks_without_end_is_closed_with_1008(server: Server) -> None:
    running = server.post(probe(steps=2_000, step_ms=20))["id"]
    address = f"{server.url.replace('http', 'ws', 1)}{API}/{running}/stream"
    with Healthy(server) as healthy, connect(address, proxy=None, compression=None) as peer:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20_000):
                peer.send("{}")
        with contextlib.suppress(ConnectionClosed):
            while True:
                peer.recv(20)
    assert peer.close_code in (1008, 1006)
    assert healthy.failures == []
    server.http.post(f"{API}/{running}/cancel")


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


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_slow_silent_and_many_connections_harm_nobody(tmp_path: Path) -> None:
    """R20, with 150 places: 200 slow heads, 200 slow bodies, 300 silent ones, 500 streams."""
    server = Server(tmp_path, "--slots", "1", environment={"KANAD_MAX_CONNECTIONS": "150"})
    try:
        server.ready()
        baseline, log_before = open_files(server), len(server.log())
        running = server.post(probe(steps=3_000, step_ms=20))["id"]
        with Healthy(server) as healthy, contextlib.ExitStack() as held:
            _besiege(server, running, held)
        assert healthy.failures == []
        assert sorted(healthy.times)[int(len(healthy.times) * 0.99) - 1] < 5.0
        assert len(server.log()) - log_before < 2**20
        wait_for(lambda: open_files(server) <= baseline + 8, "the places to be free again", 15.0)
        server.http.post(f"{API}/{running}/cancel")
        print(
            f"R20: {len(healthy.times)} asked, worst {max(healthy.times):.3f} s, stall {largest_stall_s(server):.3f} s"
        )
    finally:
        server.stop()


def _besiege(server: Server, running: str, held: contextlib.ExitStack) -> None:
    head = f"POST {API} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    stream = (
        f"GET {API}/{running}/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    slow = []
    for sent, count in (("GET / HT", 200), (head, 200), ("", 300), (stream, 500)):
        for _ in range(count):
            with contextlib.suppress(OSError):
                line = held.enter_context(line_to(server))
                line.send(sent.encode())
                slow.append(line)
    end = time.monotonic() + 18
    while time.monotonic() < end:
        for line in slow:
            with contextlib.suppress(OSError):
                line.send(b" ")
        time.sleep(1)
