"""Errors as RFC 9457 problem documents: stable code, plain words, never a traceback or a path."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ExceptionHandler, Scope

from kanad_server.errors import Refused, TooMany, Unauthorized, Unavailable
from kanad_server.wire import Problem

log = logging.getLogger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed"}


def problem(body: Problem, headers: dict[str, str] | None = None) -> Response:
    """The answer that carries a problem."""
    return Response(
        msgspec.json.encode(body),
        status_code=body.status,
        headers=headers,
        media_type="application/problem+json",
    )


def of_refused(error: Refused) -> Response:
    """The answer to a request that cannot be met as it stands."""
    return problem(
        Problem(
            title=HTTPStatus(error.status).phrase,
            status=error.status,
            detail=error.message,
            code=error.code,
            errors=error.errors,
            details=dict(error.details),
        ),
        _headers(error),
    )


def _headers(error: Refused) -> dict[str, str] | None:
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": 'Bearer realm="kanad"'}
        case TooMany(retry_after_s=seconds):
            return {"Retry-After": str(seconds)}
        case _:
            return None


def of_unavailable(error: Unavailable) -> Response:
    """The answer while the server cannot do it; says when to try again."""
    return problem(
        Problem(
            title="Service Unavailable",
            status=503,
            detail=error.message,
            code=error.code,
            details=dict(error.details),
        ),
        {"Retry-After": str(error.retry_after_s)},
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return of_refused(error)


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return of_unavailable(error)


async def _http(request: Request, error: Exception) -> Response:
    """What Starlette itself raises: no such route, method not allowed."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of one route; a path may have two
        found = list(_routes(request.app.routes, {**request.scope, "root_path": ""}))
        methods = {method for route in found if route.path == found[0].path for method in route.methods or ()}
        headers["Allow"] = ", ".join(sorted(methods))
    return problem(
        Problem(
            title=HTTPStatus(error.status_code).phrase,
            status=error.status_code,
            detail=f"{request.method} is not served at this address",
            code=_CODES.get(error.status_code, "refused"),
        ),
        headers,
    )


def _routes(routes: Iterable[BaseRoute], scope: Scope) -> Iterator[Route]:
    """The routes at this path, whatever their methods."""
    for route in routes:
        match, inner = route.matches(scope)
        if match is not Match.NONE and isinstance(route, Mount):
            yield from _routes(route.routes, {**scope, **inner})
        elif match is not Match.NONE and isinstance(route, Route):
            yield route


async def _gone(request: Request, error: Exception) -> Response:
    """The client left before it had sent everything; nobody reads this."""
    return Response(status_code=400)


async def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has the traceback under the id that the answer has, and the answer nothing more."""
    error_id = secrets.token_hex(8)
    log.error("a request failed", exc_info=error, extra={"error_id": error_id, "method": request.method})
    return problem(
        Problem(
            title="Internal Server Error",
            status=500,
            detail="the server failed at this request; its log says why, under this id",
            code="internal_error",
            details={"error_id": error_id},
        )
    )


HANDLERS: dict[int | type[Exception], ExceptionHandler] = {
    Refused: _refused,
    Unavailable: _unavailable,
    ClientDisconnect: _gone,
    HTTPException: _http,
    Exception: _unexpected,
}
