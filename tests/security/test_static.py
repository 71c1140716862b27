"""Only the files that the manifest names are served, however a name is written and whatever lies beside them."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message

from kanad_server.http import pages
from kanad_server.http.problems import HANDLERS
from tests.support.server import Server

SECRET = "nobody may read this"  # noqa: S105
UP = ["..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "....", "..;", "%uff0e%uff0e", "\\.."]
BETWEEN = ["/", "%2f", "\\", "%5c", "%252f", "//"]
FORMS = [f"{up}{between}{up}{between}secret.txt" for up, between in itertools.product(UP, BETWEEN)] + [
    "", "/", ".", "..", "manifest.json", "index.html", "link.txt", "link.txt%00.js", "secret.txt", "app.js%00",
    "app.js/", "app.js/..", "app.js/../secret.txt", "./app.js", "/app.js", "APP.JS", "app.js ", "app.js%20",
    "app.js.gz", "app.js::$DATA", "folder", "folder/", "folder/inner.js", "~", "*", "app.js?", "/etc/passwd", "file:///etc/passwd",
    "a" * 5_000,
]  # fmt: skip


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    """The asset route over a folder in which more lies than the manifest names."""
    static = tmp_path / "static"
    (static / "folder").mkdir(parents=True)
    (static / "manifest.json").write_text(json.dumps({"files": {"app.js": {"type": "text/javascript"}}}))
    (static / "app.js").write_text("let good = 1")
    (static / "app.js.gz").write_bytes(b"packed")
    for path in (tmp_path / "secret.txt", static / "secret.txt", static / "folder/inner.js", static / "index.html"):
        path.write_text(SECRET)
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr(pages, "STATIC", static)
    return Starlette(routes=[Route("/assets/{name}", pages.asset)], exception_handlers=HANDLERS)


async def got(app: Starlette, name: str) -> tuple[int, bytes]:
    """Status and body for a name exactly as it comes out of the address."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": f"/assets/{name}", "raw_path": name.encode(), "query_string": b"",
        "headers": [(b"host", b"localhost")], "root_path": "", "scheme": "http", "server": ("localhost", 80),
        "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_what_the_manifest_names_is_served(app: Starlette) -> None:
    assert await got(app, "app.js") == (200, b"let good = 1")


@pytest.mark.parametrize("decoded", [False, True], ids=["as written", "decoded"])
async def test_nothing_else_is_however_it_is_asked_for(app: Starlette, decoded: bool) -> None:
    assert len(FORMS) >= 60
    for form in FORMS:
        status, body = await got(app, unquote(form, errors="replace") if decoded else form)
        assert status in (400, 404, 307), (form, status)
        assert SECRET.encode() not in body


def test_a_real_server_serves_none_of_them_either(server: Server) -> None:
    url = httpx.URL(server.url)
    for form in FORMS:
        if form.isascii() and " " not in form and len(form) < 1_000:
            request = f"GET /assets/{form} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            with socket.create_connection((url.host, url.port), timeout=20) as line:
                line.sendall(request.encode())
                answer = b"".join(iter(lambda: line.recv(65_536), b""))
            assert answer.split()[1] in (b"307", b"400", b"404"), (form, answer[:100])
            assert b"root:x:" not in answer
