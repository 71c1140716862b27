"""The OpenAPI document and the page that shows it, both from the table of routes and the structs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kanad_server import __version__, wire
from kanad_server.http import examples
from kanad_server.http.body import answer
from kanad_server.store.base import SortKey

PROBLEM = "application/problem+json"
_REFERENCE = "#/components/schemas/{name}"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what it takes and what it gives; `refusals` are its problem statuses beside `ALWAYS` and 500."""

    name: str
    method: str
    path: str
    summary: str
    request: Any = None
    responses: dict[int, Any]
    refusals: Sequence[int] = ()
    query: dict[str, dict[str, Any]] = {}
    headers: Sequence[str] = ()


ALWAYS = (400, 401, 403, 429)
"""What the guard and the rules may answer to any call."""
_INTEGER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_LEFT_OUT = ""
"""An empty parameter of the list is like one that is not there."""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="submit", method="POST", path="/api/v1/experiments", summary="Accept one spec",
        request=wire.Spec, responses={201: wire.Experiment, 200: wire.Experiment},
        refusals=(409, 413, 415, 422, 429, 503), headers=("Idempotency-Key", "Prefer"),
    ),
    Operation(
        name="list", method="GET", path="/api/v1/experiments", summary="List experiments, newest first",
        responses={200: wire.ExperimentPage}, refusals=(503,),
        query={
            "status": {"enum": [_LEFT_OUT, "queued", "running", "completed", "failed", "cancelled"]},
            "method": _TEXT, "tag": _TEXT, "campaign": _TEXT, "q": _TEXT, "cursor": _TEXT,
            "sort": {"enum": [_LEFT_OUT, *get_args(SortKey)]},
            "limit": {"type": "integer", "minimum": 1, "maximum": 200}, "owner": _TEXT,
        },
    ),
    Operation(
        name="submit_batch", method="POST", path="/api/v1/experiments/batch",
        summary="Accept up to 1000 specs, all or nothing", request=wire.Batch,
        responses={201: wire.Accepted, 200: wire.Accepted}, refusals=(409, 413, 415, 422, 429, 503),
        headers=("Idempotency-Key",),
    ),
    Operation(
        name="read", method="GET", path="/api/v1/experiments/{id}", summary="One experiment",
        responses={200: wire.Experiment}, refusals=(404, 503),
    ),
    Operation(
        name="change", method="PATCH", path="/api/v1/experiments/{id}",
        summary="Give an experiment that waits another priority", request=wire.ExperimentPatch,
        responses={200: wire.Experiment}, refusals=(404, 409, 413, 415, 422, 503),
    ),
    Operation(
        name="delete", method="DELETE", path="/api/v1/experiments/{id}",
        summary="Forget an experiment that has ended", responses={204: None}, refusals=(404, 409, 503),
    ),
    Operation(
        name="result", method="GET", path="/api/v1/experiments/{id}/result",
        summary="The result of a completed experiment", responses={200: wire.Result}, refusals=(404, 409, 503),
    ),
    Operation(
        name="events", method="GET", path="/api/v1/experiments/{id}/events",
        summary="A stretch of the log; server-sent events for Accept: text/event-stream",
        responses={200: wire.EventPage, 204: None}, refusals=(404, 503), headers=("Last-Event-ID",),
        query={"after": _INTEGER, "limit": {"type": "integer", "minimum": 1, "maximum": 10_000}},
    ),
    Operation(
        name="artifacts", method="GET", path="/api/v1/experiments/{id}/artifacts",
        summary="The files of a completed experiment", responses={200: wire.ArtifactPage}, refusals=(404, 409, 503),
    ),
    Operation(
        name="artifact", method="GET", path="/api/v1/experiments/{id}/artifacts/{name}", summary="One file",
        responses={200: bytes}, refusals=(404, 409, 503), query={"orbitals": _TEXT},
    ),
    Operation(
        name="cancel", method="POST", path="/api/v1/experiments/{id}/cancel",
        summary="Ask for the end; asking again changes nothing", responses={202: wire.Experiment},
        refusals=(404, 503),
    ),
    Operation(
        name="retry", method="POST", path="/api/v1/experiments/{id}/retry",
        summary="A new attempt of a failed or cancelled experiment", responses={202: wire.Experiment},
        refusals=(404, 409, 503),
    ),
    Operation(
        name="ticket", method="POST", path="/api/v1/tickets", summary="A ticket that opens one stream, once",
        responses={201: wire.Ticket}, refusals=(503,),
    ),
    Operation(
        name="submit_campaign", method="POST", path="/api/v1/campaigns",
        summary="Accept a campaign with all its experiments, or nothing", request=wire.CampaignPost,
        responses={201: wire.CampaignView, 200: wire.CampaignView}, refusals=(409, 413, 415, 422, 429, 503),
        headers=("Idempotency-Key",),
    ),
    Operation(
        name="campaigns", method="GET", path="/api/v1/campaigns", summary="List campaigns, newest first",
        responses={200: wire.CampaignPage}, refusals=(503,),
        query={"cursor": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
    ),
    Operation(
        name="campaign", method="GET", path="/api/v1/campaigns/{id}", summary="One campaign",
        responses={200: wire.CampaignView}, refusals=(404, 503),
    ),
    Operation(
        name="delete_campaign", method="DELETE", path="/api/v1/campaigns/{id}",
        summary="Forget a campaign that has ended, with its experiments", responses={204: None},
        refusals=(404, 409, 503),
    ),
    Operation(
        name="summary", method="GET", path="/api/v1/campaigns/{id}/summary",
        summary="The table of a campaign; CSV for Accept: text/csv", responses={200: wire.Summary},
        refusals=(404, 503),
    ),
    Operation(
        name="summary_csv", method="GET", path="/api/v1/campaigns/{id}/summary.csv",
        summary="The table of a campaign as CSV", responses={200: bytes}, refusals=(404, 503),
    ),
    Operation(
        name="cancel_campaign", method="POST", path="/api/v1/campaigns/{id}/cancel",
        summary="Ask for the end of every member", responses={202: wire.CampaignView}, refusals=(404, 503),
    ),
    Operation(
        name="estimate", method="POST", path="/api/v1/estimate", summary="What a spec would cost",
        request=wire.Spec, responses={200: wire.Estimate}, refusals=(413, 415, 422),
    ),
    Operation(
        name="parse", method="POST", path="/api/v1/molecules/parse", summary="A molecule, resolved to nuclei",
        request=wire.Molecule, responses={200: wire.ParsedMolecule}, refusals=(413, 415, 422),
    ),
    Operation(
        name="molecules", method="GET", path="/api/v1/molecules",
        summary="The library of experimental geometries", responses={200: wire.MoleculePage},
    ),
    Operation(
        name="methods", method="GET", path="/api/v1/methods",
        summary="Every method and task, with options", responses={200: wire.MethodPage},
    ),
    Operation(
        name="system", method="GET", path="/api/v1/system", summary="Versions, slots and queue length",
        responses={200: wire.System},
    ),
    Operation(
        name="live", method="GET", path="/health/live", summary="The process serves",
        responses={200: wire.Health},
    ),
    Operation(
        name="ready", method="GET", path="/health/ready", summary="The server can take work",
        responses={200: wire.Health, 503: wire.Health},
    ),
)  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    types = {wire.Problem}
    for operation in OPERATIONS:
        types |= {operation.request, *operation.responses.values()} - {None, bytes}
    ordered = sorted(types, key=lambda struct: struct.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kanad-server",
            "version": __version__,
            "description": "Post a molecule, watch it converge live, never lose a result.",
        },
        "paths": paths,
        "components": {"schemas": {name: _uniform(schema) for name, schema in components.items()}},
    }


def _uniform(schema: Any) -> Any:
    """A tuple of equal items as an array with `items`: the same, and read by more programs than `prefixItems`."""
    if isinstance(schema, list):
        return [_uniform(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    items = schema.get("prefixItems")
    if isinstance(items, list) and all(item == items[0] for item in items):
        schema = {name: value for name, value in schema.items() if name != "prefixItems"} | {"items": items[0]}
    return {name: _uniform(value) for name, value in schema.items()}


async def openapi(request: Request) -> Response:
    """The document as JSON."""
    return answer(document())


def _described(operation: Operation, schema_of: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, struct in operation.responses.items():
        content = _content(struct, schema_of)
        responses[str(status)] = {"description": operation.summary} | ({"content": content} if content else {})
    for status in sorted({*ALWAYS, *operation.refusals} - set(operation.responses)):
        responses[str(status)] = {
            "description": "Refused",
            "content": {PROBLEM: {"schema": schema_of[wire.Problem], "example": examples.problem(status)}},
        }
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    parameters = _parameters(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = {
            "required": True,
            "content": _content(operation.request, schema_of),
        }
    return described


def _content(struct: Any, schema_of: dict[Any, Any]) -> dict[str, Any]:
    if struct is None:
        return {}
    if struct is bytes:  # a file of any type: some are JSON, so no schema fits all
        return {"*/*": {"schema": {}, "example": examples.example(struct)}}
    return {"application/json": {"schema": schema_of[struct], "example": examples.example(struct)}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in ("id", "name")
        if f"{{{name}}}" in operation.path
    ]
    query = [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()]
    headers = [{"name": name, "in": "header", "schema": _TEXT} for name in operation.headers]
    return parameters + query + headers


def calls_table() -> str:
    """The calls as an HTML table."""
    rows = "".join(
        f"<tr><td><code>{operation.method}</code></td><td><code>{html.escape(operation.path)}</code></td>"
        f"<td>{html.escape(operation.summary)}</td></tr>"
        for operation in OPERATIONS
    )
    return f"<table><tr><th>Method</th><th>Path</th><th>What it does</th></tr>{rows}</table>"


@cache
def page() -> str:
    """The document as a page that needs no script and loads nothing."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>kanad-server API</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
td, th {{ padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }}
</style></head><body>
<h1>kanad-server {__version__}</h1>
<p>The calls of this server. The whole contract, with every field, is
<a href="/openapi.json">the OpenAPI document</a>.
An experiment's events come over <code>WS /api/v1/experiments/{{id}}/stream?after=0</code>.</p>
{calls_table()}
</body></html>"""
