"""Inputs that are too large, each in its own way: refused early and cheaply, and who behaves does not notice."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.faults import figures
from tests.faults.asker import Asker
from tests.faults.scale import within
from tests.faults.world import API, World, percentile, probe
from tests.support.server import TLS, Server, wait_for

GROWTH_MB = 20
STALL_S = 0.25


def _chunked(total: int) -> Iterator[bytes]:
    for _ in range(total // 65_536):
        yield b"x" * 65_536


def _posted(server: Server, content: bytes | Iterator[bytes], **headers: str) -> int | None:
    """The status; None where the server hung up before the client had sent all."""
    try:
        kind = {"Content-Type": "application/json"}
        answer = httpx.post(f"{server.url}{API}", content=content, headers=kind | headers, trust_env=False, verify=TLS)
        return answer.status_code
    except httpx.HTTPError:
        return None


def _announced(server: Server) -> int:
    """The status of a request that only says how long it would be."""
    return _asked(server, f"POST {API} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {300 * 2**20}\r\n\r\n".encode())


def _long_head(server: Server) -> int | None:
    """The status of a request with a head of 10 MB; None where the server hung up while it was sent."""
    with suppress(OSError):
        return _asked(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10 * 2**20 + b"\r\n\r\n")
    return None


def _asked(server: Server, request: bytes) -> int:
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as line:
        line.sendall(request)
        return int(line.recv(65_536).split()[1])


INPUTS: dict[str, tuple[Callable[[Server], int | None], tuple[int | None, ...]]] = {
    "300 MB in chunks": (lambda server: _posted(server, _chunked(300 * 2**20)), (413, None)),
    "300 MB announced": (_announced, (413,)),
    "a head of 10 MB": (_long_head, (431, None)),
    "1e5 levels": (lambda server: _posted(server, b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), (400,)),
    "1e5 levels in a string": (lambda server: _posted(server, b'{"name":"' + b"[" * 100_000 + b'"}'), (422,)),
    "1.9e6 numbers": (lambda server: _posted(server, b'{"molecule":[' + b"0," * 1_900_000 + b"0]}"), (422,)),
    "5e6 numbers": (lambda server: _posted(server, b"[" + b"0," * 5_000_000 + b"0]"), (413,)),
    "1e6 wrong atoms": (
        lambda server: _posted(server, b'{"molecule":{"atoms":[' + b"{}," * 1_000_000 + b"{}]}}"), (422,)),
    "4 MB of nesting pairs": (lambda server: _posted(server, b"[" + b"[]," * 1_300_000 + b"[]]"), (422,)),
    "1e6 numbers and a NaN": (lambda server: _posted(server, b'{"a":[' + b"1.5," * 900_000 + b"NaN]}"), (422,)),
    "1e6 strings with brackets": (lambda server: _posted(server, b"[" + b'"[",' * 1_000_000 + b'""]'), (422,)),
    "a gzip bomb": (
        lambda server: _posted(server, 64 * gzip.compress(bytes(16 * 2**20)), **{"Content-Encoding": "gzip"}),
        (415, None)),
}  # fmt: skip


def test_r21_large_inputs(make_world: Callable[..., World]) -> None:
    """Bodies, heads, nesting, arrays, compressed ones, messages: each refused; nobody notices."""
    world = make_world("--slots", "2", scenario="R21")
    running = world.submit(probe(steps=100_000, step_ms=20, limits={"wall_s": 300, "memory_mb": 512}), key="running")
    world.server.running(running)
    before, peak = world.holds().rss_mb, 0.0
    with Asker(world.port) as asker:
        for name, (send, expected) in INPUTS.items():
            status = send(world.server)
            assert status in expected, (name, status)
            peak = max(peak, world.holds().rss_mb - before)
            print(f"{name}: {status}, {world.holds().rss_mb - before:.1f} MB more")
        assert _closed_after(world, running, ["x" * 20 * 2**20]) in (1009, 1006)
        assert _closed_after(world, running, ["{}"] * 20_000) in (1008, 1006)
        wait_for(lambda: world.holds().rss_mb - before < GROWTH_MB, "the memory to be given back", within(5.0))
    grown = world.holds().rss_mb - before
    world.call("POST", f"{API}/{running}/cancel")
    measured = world.finish()
    figures.record(
        "R21", "inputs that are too large", inputs=len(INPUTS) + 2, peak_mb=peak, kept_mb=grown,
        healthy_asked=len(asker.times), healthy_failed=len(asker.failures),
        healthy_s_p99=percentile(asker.times, 0.99), **measured,
    )  # fmt: skip
    assert asker.failures == []
    assert measured["stall_ms"] <= 1000 * within(STALL_S)


def _closed_after(world: World, experiment_id: str, messages: list[str]) -> int | None:
    """The close code that a viewer gets who says all this."""
    with connect(world.stream(experiment_id), proxy=None, compression=None, max_size=None) as peer:
        with suppress(ConnectionClosed):
            for message in messages:
                peer.send(message)
        _listen_to_the_end(peer)
        return peer.close_code


def _listen_to_the_end(peer: ClientConnection) -> None:
    deadline = time.monotonic() + 60
    with suppress(ConnectionClosed):
        while time.monotonic() < deadline:
            peer.recv(20)
