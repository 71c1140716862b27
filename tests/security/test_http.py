"""What two servers could read in two ways, other protocols, other names: refused, on raw sockets."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from kanad_server.http.headers import SECURITY
from tests.support.server import Server, probe, wait_for

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /api/v1/estimate HTTP/1.1\r\n" + HOST + JSON
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def exchange(server: Server, sent: bytes, timeout_s: float = 20.0) -> bytes:
    """Everything that comes back until the server closes."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80), timeout=timeout_s) as line:
        line.sendall(sent)
        received = b""
        while chunk := line.recv(65_536):
            received += chunk
    return received


AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 3\r\n\r\n{}",
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
    "one bare line feed": b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-A: b\nX-B: c\r\n\r\n",
    "a bare carriage return": b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-A: b\rX-B: c\r\n\r\n",
    "an absolute address": b"GET http://evil.example/health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space before the colon": b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-A : b\r\n\r\n",
    "two hosts": b"GET /health/live HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "a NUL": b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-A: b\0c\r\n\r\n",
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_answered(server: Server, name: str) -> None:
    answer = exchange(server, AMBIGUOUS[name])
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 501, 505), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert b'"status":"ok"' not in answer


def test_a_frame_that_does_not_wait_for_the_handshake_is_refused_and_no_fault_of_ours(server: Server) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    frame = b"\x81\x85\x00\x00\x00\x00hello"
    for _ in range(5):
        answer = exchange(server, b"GET /api/v1/stream HTTP/1.1\r\n" + HOST + upgrade + key + b"\r\n" + frame)
        assert answer.startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    assert "Error in ASGI Framework" not in server.log()
    assert "never awaited" not in server.log()


def test_a_request_hidden_behind_a_good_one_is_not_answered(server: Server) -> None:
    good = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = exchange(server, good + AMBIGUOUS["a folded line"])
    assert answer.count(b"HTTP/1.1 200") == 1


def test_requests_in_a_row_on_one_line_are_answered_in_order(server: Server) -> None:
    good = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
    last = good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert exchange(server, good + good + last).count(b"HTTP/1.1 200") == 3


def test_an_offer_of_http2_in_the_clear_is_not_taken(server: Server) -> None:
    offer = (
        b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    )
    answer = exchange(server, b"GET /health/live HTTP/1.1\r\n" + HOST + offer + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"101" not in answer.partition(b"\r\n\r\n")[0]


def test_a_head_of_ten_megabytes_is_431(server: Server) -> None:
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as line:
        line.sendall(b"GET /health/live HTTP/1.1\r\n" + HOST)
        try:
            for _ in range(160):
                line.sendall(b"X-Long: " + b"x" * 65_536)
        except OSError:
            pass  # it hung up on us, as it should
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 431"), answer[:200]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health/live HTTP/1.1\r\n" + HOST,
        b"GET /nothing HTTP/1.1\r\n" + HOST,
        b"PUT /api/v1/experiments HTTP/1.1\r\n" + HOST,
        b"GET /docs HTTP/1.1\r\n" + HOST,
        b"GET /metrics HTTP/1.1\r\n" + HOST,
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET http://x/ HTTP/1.1\r\n" + HOST,
        b"GET /api/v1/experiments/x/stream HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\n",
        b"GET /api/v1/experiments/x/stream HTTP/1.1\r\n"
        + HOST
        + b"Origin: http://evil.example\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    ],
    ids=lambda sent: sent.split(b"\r\n")[0].decode(),
)
def test_every_answer_has_the_headers_that_keep_a_browser_careful(server: Server, sent: bytes) -> None:
    kind = b"upgrade, close" if b"websocket" in sent else b"close"
    head = exchange(server, sent + b"Connection: " + kind + b"\r\n\r\n").partition(b"\r\n\r\n")[0].lower()
    for name in SECURITY:
        assert b"\r\n" + name + b": " in head, name
    assert b"frame-ancestors 'none'" in head
    assert b"\r\nserver:" not in head
    assert b"hypercorn" not in head
    assert b"access-control-allow" not in head


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://"])
def test_a_preflight_of_another_site_gets_no_permission(server: Server, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = server.http.options("/api/v1/experiments", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_it_serves_tls_and_http1_alone(start_server: Callable[..., Server], tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("openssl is not there to make a certificate")
    folder = tmp_path / "tls"
    folder.mkdir()
    options = ("--slots", "1", "--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem"))
    server = Server(folder, *options)
    try:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        port = httpx.URL(server.url).port or 0
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as line,
            context.wrap_socket(line, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "http/1.1"
            secure.sendall(b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            received = b""
            while chunk := secure.recv(65_536):
                received += chunk
        assert received.startswith(b"HTTP/1.1 200")
    finally:
        assert server.stop() == 0


def test_a_head_and_a_body_that_do_not_come_are_not_waited_for(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1", KANAD_HEADER_S="0.5", KANAD_BODY_S="0.5", KANAD_IDLE_S="0.5")
    assert exchange(server, b"") == b""
    assert exchange(server, b"GET /health/live HT").startswith(b"HTTP/1.1 408")
    assert exchange(server, POST + b"Content-Length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")
    assert exchange(server, b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 200")
    assert "Traceback" not in server.log()


def test_connections_that_ask_for_nothing_give_way_to_one_that_does(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1", KANAD_MAX_CONNECTIONS="20")
    address = httpx.URL(server.url)
    lines = [socket.create_connection((address.host, address.port or 80)) for _ in range(60)]
    try:
        for number, line in enumerate(lines):
            if number % 2:
                line.send(b"GET / HT")
        for _ in range(5):
            assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    finally:
        for line in lines:
            line.close()
    wait_for(lambda: open_files(server) < 60, "the places to be free again")


def test_a_newcomer_waits_a_moment_for_a_place(start_server: Callable[..., Server]) -> None:
    """Every connection awaits an answer, so none gives way: who comes is refused, unless one of them ends soon."""
    server = start_server("--slots", "1", KANAD_MAX_CONNECTIONS="16")
    body = json.dumps(probe(steps=1000, step_ms=20)).encode()
    post = b"POST /api/v1/experiments HTTP/1.1\r\n" + HOST + JSON + b"Prefer: wait=30\r\nContent-Length: %d\r\n\r\n"
    ask = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    address = httpx.URL(server.url)
    with ExitStack() as held:
        lines = [held.enter_context(socket.create_connection((address.host, address.port or 80))) for _ in range(16)]
        for line in lines:
            line.sendall(post % len(body) + body)
        wait_for(lambda: b" 503 " in exchange(server, ask), "every connection to await its answer")
        newcomer = held.enter_context(socket.create_connection((address.host, address.port or 80), timeout=20))
        newcomer.sendall(ask)
        lines[0].close()
        assert newcomer.recv(65_536).startswith(b"HTTP/1.1 200")


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_an_answer_before_the_whole_body_says_that_the_connection_ends(server: Server) -> None:
    """A client that keeps the connection for its next request would find it closed."""
    head = b"POST /api/v1/estimate HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n"
    answer = exchange(server, head)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_an_answer_to_a_whole_request_keeps_the_connection(server: Server) -> None:
    response = httpx.get(f"{server.url}/health/live", trust_env=False)
    assert "connection" not in response.headers
