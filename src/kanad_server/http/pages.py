"""The web pages: one shell for every page, and the built files that the manifest names, nothing else.

They are built from `frontend/` (`make web`, or the wheel's build). A server without them still serves the API.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from kanad_server.errors import NotFound
from kanad_server.http import openapi

STATIC = Path(__file__).parents[1] / "static"
PAGES = ("/", "/new", "/runs/{id}", "/compare", "/campaigns", "/campaigns/{id}", "/queue", "/library", "/about")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PLAIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>kanad-server</title>
<h1>kanad-server</h1>
<p>The server is up; its pages are not built. In a checkout, <code>make web</code> builds them.
The API is under <code>/api/v1</code>: see <a href="/docs">its calls</a>.</p></html>"""


class _File(msgspec.Struct, frozen=True):
    type: str


class _Manifest(msgspec.Struct, frozen=True):
    files: dict[str, _File]


async def page(_request: Request) -> Response:
    """The shell; the script in it shows the page that the address names."""
    return await asyncio.to_thread(_shell)


async def docs(_request: Request) -> Response:
    """The calls of this server, to read and to try; a plain table where the pages are not built."""
    if _manifest() is None:
        return HTMLResponse(openapi.page())
    return await asyncio.to_thread(_shell, "docs.html")


async def asset(request: Request) -> Response:
    """One built file. Its name changes with its content, so it may be kept for ever."""
    return await asyncio.to_thread(_asset, request, request.path_params["name"])


def _shell(name: str = "index.html") -> Response:
    if _manifest() is None:
        return HTMLResponse(_PLAIN)
    return HTMLResponse((STATIC / name).read_text(), headers={"Content-Security-Policy": _POLICY})


def _asset(request: Request, name: str) -> Response:
    manifest = _manifest()
    entry = manifest.files.get(name) if manifest is not None else None
    if entry is None:
        raise NotFound("not_found", "there is no such file; load the page again")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    content = (STATIC / f"{name}{'.gz' if packed else ''}").read_bytes()
    return Response(content, media_type=entry.type, headers=headers)


def _manifest() -> _Manifest | None:
    """What was built; None when nothing was."""
    path = STATIC / "manifest.json"
    try:
        return _read_manifest(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(1)
def _read_manifest(path: Path, _changed: int) -> _Manifest:
    return msgspec.json.decode(path.read_bytes(), type=_Manifest)
