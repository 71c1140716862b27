"""Who may call what: one line for each route. A route without a line keeps the server from starting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import msgspec
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from kanad_server.errors import Forbidden, Refused, Unauthorized
from kanad_server.gate import Gate
from kanad_server.http.pages import PAGES
from kanad_server.http.problems import of_refused
from kanad_server.people import Person, Role


class Rule(msgspec.Struct, frozen=True):
    """The least role that may call; None lets everybody in. A `stream` also takes a single-use ticket."""

    role: Role | None
    stream: bool = False


ANYBODY, VIEWER, USER, ADMIN = Rule(None), Rule("viewer"), Rule("user"), Rule("admin")
STREAM = Rule("viewer", stream=True)

_ONE = "/api/v1/experiments/{id}"
_CAMPAIGN = "/api/v1/campaigns/{id}"
RULES: Mapping[str, Rule] = {
    # Which experiments a person sees is decided by `Person.sees`; here is what a role may do with them.
    "POST /api/v1/experiments": USER,
    "GET /api/v1/experiments": VIEWER,
    "POST /api/v1/experiments/batch": USER,
    f"GET {_ONE}": VIEWER,
    f"PATCH {_ONE}": USER,
    f"DELETE {_ONE}": USER,
    f"GET {_ONE}/result": VIEWER,
    f"GET {_ONE}/events": STREAM,
    f"GET {_ONE}/artifacts": VIEWER,
    f"GET {_ONE}/artifacts/{{name}}": VIEWER,
    f"POST {_ONE}/cancel": USER,
    f"POST {_ONE}/retry": USER,
    f"WS {_ONE}/stream": STREAM,
    "POST /api/v1/campaigns": USER,
    "GET /api/v1/campaigns": VIEWER,
    f"GET {_CAMPAIGN}": VIEWER,
    f"DELETE {_CAMPAIGN}": USER,
    f"GET {_CAMPAIGN}/summary": VIEWER,
    f"GET {_CAMPAIGN}/summary.csv": VIEWER,
    f"POST {_CAMPAIGN}/cancel": USER,
    f"WS {_CAMPAIGN}/stream": STREAM,
    "WS /api/v1/stream": STREAM,
    "POST /api/v1/tickets": VIEWER,
    "POST /api/v1/estimate": VIEWER,
    "POST /api/v1/molecules/parse": VIEWER,
    "GET /api/v1/molecules": VIEWER,
    "GET /api/v1/methods": VIEWER,
    "GET /api/v1/system": VIEWER,
    "GET /health/live": ANYBODY,
    "GET /health/ready": ANYBODY,
    "GET /metrics": ADMIN,
    "GET /openapi.json": ANYBODY,
    "GET /asyncapi.json": ANYBODY,
    "GET /docs": ANYBODY,
    # The pages hold nothing of anybody's; they ask for it by the calls above.
    "GET /assets/{name}": ANYBODY,
    **{f"GET {path}": ANYBODY for path in PAGES},
}


def calls(table: Iterable[BaseRoute], prefix: str = "") -> Iterable[tuple[str, Route | WebSocketRoute]]:
    """Every call of a route table, as ``GET /path`` or ``WS /path``, with its route."""
    for route in table:
        if isinstance(route, Mount) and route.routes:
            yield from calls(route.routes, prefix + route.path)
        elif isinstance(route, WebSocketRoute):
            yield f"WS {prefix}{route.path}", route
        elif isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield f"{method} {prefix}{route.path}", route


def guarded(table: list[BaseRoute]) -> list[BaseRoute]:
    """The table with each route behind its rule.

    Raises:
        KeyError: a route has no rule.
    """
    rules: dict[int, tuple[Route | WebSocketRoute, dict[str, Rule]]] = {}
    for call, route in calls(table):
        rules.setdefault(id(route), (route, {}))[1][call.partition(" ")[0]] = RULES[call]
    for route, by_method in rules.values():
        route.app = _Ruled(route.app, by_method)
    return table


class _Ruled:
    """ASGI app: a route behind its rules."""

    def __init__(self, app: ASGIApp, rules: dict[str, Rule]) -> None:
        self._app = app
        self._rules = rules | ({"HEAD": rules["GET"]} if "GET" in rules else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self._rules["WS" if scope["type"] == "websocket" else scope["method"]]
        with ExitStack() as held:
            try:
                _let_in(rule, scope)
                if rule.stream:
                    gate: Gate = scope["app"].state.service.gate
                    held.enter_context(gate.stream(scope["state"]["person"]))
            except Refused as refusal:
                await of_refused(refusal)(scope, receive, send)
            else:
                await self._app(scope, receive, send)


def _let_in(rule: Rule, scope: Scope) -> None:
    """Raises `Unauthorized` or `Forbidden` unless the rule lets the person in; a ticket says who it is."""
    if rule.role is None:
        return
    if rule.stream:
        ticket = QueryParams(scope["query_string"]).get("ticket")
        if ticket is not None:
            gate: Gate = scope["app"].state.service.gate
            scope["state"]["person"] = gate.redeem(ticket)
    person: Person | None = scope["state"]["person"]
    if person is None:
        raise Unauthorized("token_needed", "this server needs a token: send Authorization: Bearer <token>")
    if not person.may(rule.role):
        raise Forbidden("not_allowed", f"this needs the role {rule.role}; this token has the role {person.role}")
