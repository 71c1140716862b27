"""Somebody who is told by webhooks: a small HTTP server that keeps what it got and answers as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self


class Told(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: str


class Receiver:
    """Listens on a free port of this machine while it is entered; `answer` says with which status."""

    def __init__(self, answer: Callable[[Told], int] = lambda _: 204) -> None:
        self.told: list[Told] = []
        self.answer = answer
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name that http.server calls
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                told = Told(self.path, dict(self.headers), body)
                status = receiver.answer(told)
                receiver.told.append(told)
                self.send_response(status)
                if status in (302, 307, 308):
                    self.send_header("Location", f"{receiver.url}/redirected")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
