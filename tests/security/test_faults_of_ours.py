"""A fault of ours shows an id and a code, on every call; the log has the rest under that id."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from kanad_server.app import create_app
from kanad_server.gate import Gate
from kanad_server.http.rules import RULES
from kanad_server.metrics import Metrics
from kanad_server.settings import Settings
from tests.support.server import probe

INSIDE = "/srv/secret/place SELECT * FROM tokens"
SOUND = {"GET /api/v1/methods", "GET /api/v1/molecules", "GET /health/live", "GET /openapi.json", "GET /docs",
         "GET /asyncapi.json", "POST /api/v1/tickets"}  # fmt: skip
"""These ask nothing of the service that could fail."""
CALLS = sorted({call for call, rule in RULES.items() if not call.startswith("WS ") and rule.role is not None} - SOUND)


class Nobody:
    """No tokens."""

    async def token(self, token_id: str) -> None:
        return None

    async def any_token(self) -> bool:
        return False


class Broken:
    """A service of which everything fails that a route may ask."""

    def __init__(self) -> None:
        self.gate = Gate(Nobody(), may_be_open=True)
        self.metrics = Metrics()

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} failed at {INSIDE}")


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_to_a_failure_tells_nothing_but_its_id(call: str, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings())
    app.state.service = Broken()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    method, _, path = call.partition(" ")
    path = path.replace("{id}", "x").replace("{name}", "events.csv")
    with caplog.at_level(logging.ERROR):
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.request(method, path, json=probe(steps=1) if method == "POST" else None)
    assert answer.status_code == 500, (call, answer.text)
    problem = answer.json()
    assert problem["code"] == "internal_error"
    assert set(problem["details"]) == {"error_id"}
    for word in ("secret", "SELECT", "Traceback", ".py", "RuntimeError"):
        assert word not in answer.text
    found = [record for record in caplog.records if getattr(record, "error_id", "") == problem["details"]["error_id"]]
    assert len(found) == 1
    assert found[0].exc_info is not None
    assert INSIDE in json.dumps(str(found[0].exc_info[1]))
