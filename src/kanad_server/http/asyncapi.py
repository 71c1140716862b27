"""The AsyncAPI 3.0 document of the streams, from the structs that go over them and the table of close codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kanad_server import __version__, wire
from kanad_server.http.body import answer
from kanad_server.http.outlet import SUBPROTOCOLS
from kanad_server.http.stream import CLOSE_CODES

EVENTS = get_args(wire.Event)
OPS = get_args(wire.ClientOp)
REPLIES = get_args(wire.ServerReply)
CAMPAIGN = (wire.CampaignProgress, wire.MemberProgress)
_REFERENCE = "#/components/schemas/{name}"
_POSITION = {"type": "integer", "minimum": 0, "default": 0, "description": "Begin behind this event"}
_TICKET = {"type": "string", "description": "From POST /api/v1/tickets, for who cannot send Authorization"}


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A stream: what the server sends on it and what it hears."""

    name: str
    address: str
    summary: str
    sends: Sequence[type[msgspec.Struct]]
    hears: Sequence[type[msgspec.Struct]] = ()
    codes: Sequence[int] = ()
    query: Mapping[str, Any] = {}


CHANNELS = (
    Channel(
        name="experiment", address="/api/v1/experiments/{id}/stream",
        summary="One experiment: its log, then live, to its end", sends=EVENTS,
        codes=tuple(CLOSE_CODES), query={"after": _POSITION, "ticket": _TICKET},
    ),
    Channel(
        name="experiments", address="/api/v1/stream", summary="Many experiments, and summaries, on one socket",
        sends=(*EVENTS, *REPLIES), hears=OPS,
        codes=[code for code in CLOSE_CODES if code not in (1000, 4400, 4404)], query={"ticket": _TICKET},
    ),
    Channel(
        name="campaign", address="/api/v1/campaigns/{id}/stream",
        summary="A campaign and its experiments, then what changes, to the end of all", sends=CAMPAIGN,
        codes=[code for code in CLOSE_CODES if code != 4400], query={"ticket": _TICKET},
    ),
    Channel(
        name="serverSent", address="/api/v1/experiments/{id}/events",
        summary="One experiment as server-sent events, with Accept: text/event-stream; resumes by Last-Event-ID",
        sends=EVENTS, query={"after": _POSITION, "ticket": _TICKET},
    ),
)  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document."""
    structs = {struct.__name__: struct for channel in CHANNELS for struct in (*channel.sends, *channel.hears)}
    schemas, components = msgspec.json.schema_components(structs.values(), ref_template=_REFERENCE)
    messages = dict(map(_message, structs.values(), schemas))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kanad-server",
            "version": __version__,
            "description": "The streams of kanad-server. A frame holds one message, or an array of messages in order;"
            " with the subprotocol kanad.v1.msgpack the same as MessagePack.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(operation for channel in CHANNELS for operation in _operations(channel)),
        "components": {"messages": messages, "schemas": components},
    }


async def asyncapi(request: Request) -> Response:
    """The document as JSON."""
    return answer(document())


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _key(struct: type[msgspec.Struct]) -> str:
    """The name of a message: its tag, for an op behind ``op-``, so that no two are the same."""
    return f"op-{_tag(struct)}" if struct in OPS else _tag(struct)


def _message(struct: type[msgspec.Struct], schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    summary = (struct.__doc__ or "").strip().partition("\n")[0]
    return _key(struct), {"name": _tag(struct), "summary": summary, "payload": schema}


def _channel(channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {
            _key(struct): {"$ref": f"#/components/messages/{_key(struct)}"}
            for struct in (*channel.sends, *channel.hears)
        },
    }
    query = {"type": "object", "properties": dict(channel.query)}
    if "{id}" in channel.address:
        described["parameters"] = {"id": {"description": "As POST has answered"}}
    if channel.codes:
        described["bindings"] = {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}}
        described["x-subprotocols"] = list(SUBPROTOCOLS)
        described["x-close-codes"] = {str(code): CLOSE_CODES[code] for code in channel.codes}
    return described


def _operations(channel: Channel) -> list[tuple[str, dict[str, Any]]]:
    """From where the server stands: it sends, and it receives."""
    directions: list[tuple[str, str, Sequence[type[msgspec.Struct]]]] = [("tell", "send", channel.sends)]
    if channel.hears:
        directions.append(("ask", "receive", channel.hears))
    return [
        (
            f"{verb}-{channel.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "messages": [{"$ref": f"#/channels/{channel.name}/messages/{_key(struct)}"} for struct in structs],
            },
        )
        for verb, action, structs in directions
    ]
