"""The AsyncAPI document: whole, resolvable, and true of what goes over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from starlette.routing import WebSocketRoute

from kanad_server import wire
from kanad_server.app import routes
from kanad_server.http import asyncapi
from kanad_server.http.rules import calls
from kanad_server.http.stream import CLOSE_CODES
from kanad_server.testing import spec

PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
STAMP: dict[str, Any] = {"experiment_id": "x", "attempt": 1, "seq": 7, "time": "2026-01-01T00:00:00.000Z"}
CAMPAIGN = wire.CampaignView(
    id="c", name="", tags=(), owner="local", size=1, created_at="", status="active", percent=0.0, counts={"queued": 1}
)
MEMBER = wire.Member(
    index=0, experiment_id="x", name="", molecule="H2", method="hf", basis="sto-3g", task="energy", status="queued",
    percent=0.0,
)  # fmt: skip
EXPERIMENT = wire.Experiment(
    id="x", name="", tags=(), priority=0, status="failed", spec=spec(), spec_hash="", attempt=1,
    progress=wire.Percentage(), last_seq=2, created_at="", error=wire.Error(code="timeout", message="too long"),
)  # fmt: skip
SENT: list[msgspec.Struct] = [
    wire.Status(**STAMP, status="failed", progress=3.0, error=wire.Error(code="timeout", message="too long")),
    wire.Stage(**STAMP, stage=0, last_stage=1, message="begun"),
    wire.Convergence(**STAMP, series="scf", iteration=1, energy_hartree=-1.0, delta_hartree=0.5),
    wire.State(**STAMP, index=1, energy_hartree=-1.0, excitation_ev=3.0),
    wire.Geometry(**STAMP, step=1, energy_hartree=-1.0, coordinates_angstrom=((0.0, 0.0, 0.0),)),
    wire.Point(**STAMP, index=0, value=1.0, energy_hartree=-1.0),
    wire.Log(**STAMP, level="info", message="said"),
    wire.Thinned(**STAMP, first_seq=3, removed=4, thinned_at="2026-01-01T00:00:00.000Z"),
    wire.Subscribed(experiment_id="x", after=0, last_seq=7),
    wire.Unsubscribed(experiment_id="x"),
    wire.End(experiment_id="x", last_seq=7),
    wire.Watching(status="*"),
    wire.Pong(),
    wire.OpRefused(code="not_found", message="there is none"),
    wire.ExperimentSummary.of(EXPERIMENT),
    wire.CampaignProgress(time="", campaign=CAMPAIGN),
    wire.MemberProgress(time="", campaign_id="c", member=MEMBER),
    wire.Subscribe(id="x", after=3),
    wire.Unsubscribe(id="x"),
    wire.Watch(status="running"),
    wire.Ping(),
]


def document() -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(asyncapi.document())))


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from nodes(inner)


def resolved(whole: dict[str, Any], reference: str) -> Any:
    found: Any = whole
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_it_has_what_asyncapi_3_asks_for_and_every_reference_leads_somewhere() -> None:
    whole = document()
    assert whole["asyncapi"] == "3.0.0"
    assert whole["info"].keys() >= {"title", "version"}
    for name, channel in whole["channels"].items():
        assert re.fullmatch(r"[A-Za-z0-9_\-]+", name)
        assert channel["address"].startswith("/")
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel.get("parameters", {}))
        assert channel["messages"]
    for operation in whole["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolved(whole, operation["channel"]["$ref"])
        for message in operation["messages"]:
            # An operation names messages of its own channel, not of the components.
            assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/")
            assert resolved(whole, message["$ref"]) in channel["messages"].values()
    for node in nodes(whole):
        if isinstance(node.get("$ref"), str):
            assert resolved(whole, node["$ref"]) is not None


@pytest.mark.parametrize("message", SENT, ids=lambda message: type(message).__name__)
def test_every_message_that_goes_over_the_wire_is_described_as_it_is(message: msgspec.Struct) -> None:
    whole = document()
    tag = str(message.__struct_config__.tag)
    key = f"op-{tag}" if isinstance(message, wire.Op) else tag
    described = whole["components"]["messages"][key]
    assert described["name"] == tag
    assert described["summary"]
    schema = described["payload"] | {"components": whole["components"]}
    value = json.loads(msgspec.json.encode(message))
    jsonschema.validate(value, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value | {"op" if isinstance(message, wire.Op) else "type": "dance"}, schema)


def test_nothing_is_described_that_is_not_tried_here() -> None:
    assert {type(message) for message in SENT} == {
        *asyncapi.EVENTS,
        *asyncapi.REPLIES,
        *asyncapi.CAMPAIGN,
        *asyncapi.OPS,
    }
    assert len(document()["components"]["messages"]) == len(SENT)


def test_every_stream_is_a_channel() -> None:
    served = {call.partition(" ")[2] for call, route in calls(routes()) if isinstance(route, WebSocketRoute)}
    addresses = {channel.address for channel in asyncapi.CHANNELS}
    assert addresses == served | {"/api/v1/experiments/{id}/events"}


def test_every_close_code_is_in_the_document_and_in_the_page() -> None:
    codes = document()["channels"]["experiment"]["x-close-codes"]
    assert {int(code) for code in codes} == set(CLOSE_CODES)
    for code in CLOSE_CODES:
        assert f"| {code} |" in PROTOCOL
