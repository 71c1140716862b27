"""Webhooks of a real server, through its death."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from tests.support.receiver import Receiver, Told
from tests.support.server import Server, probe, wait_for

SECRET = "known to both of them"  # noqa: S105
ARRIVED = {"kanad_notices_waiting 0.0", 'kanad_notice_tries_total{outcome="arrived"} 1.0'}


def test_a_notice_survives_the_servers_death_and_arrives(tmp_path: Path) -> None:
    is_up = False

    def answer(_: Told) -> int:
        return 204 if is_up else 503

    with Receiver(answer) as receiver:
        environment = {"KANAD_NOTIFY_ORIGINS": receiver.url, "KANAD_NOTIFY_SECRET": SECRET}
        server = Server(tmp_path, environment=environment)
        try:
            asked = probe(steps=3) | {"notify": [{"url": f"{receiver.url}/hook"}]}
            refused = server.http.post("/api/v1/experiments", json=asked | {"notify": [{"url": "http://127.0.0.1:1/"}]})
            assert refused.json()["errors"][0]["path"] == "$.notify[0].url"
            experiment = server.post(asked)
            server.ended(experiment["id"])
            wait_for(lambda: receiver.told, "a first try")
            assert "kanad_notices_waiting 1.0" in server.http.get("/metrics").text.splitlines()
            server.kill()
            is_up = True
            before = len(receiver.told)
            server.start()
            wait_for(lambda: len(receiver.told) > before, "a try after the restart")
            wait_for(lambda: set(server.http.get("/metrics").text.splitlines()) >= ARRIVED, "the figures to say so")
        finally:
            server.stop()
    last = receiver.told[-1]
    signed = f"{last.headers['Kanad-Timestamp']}.{last.body}".encode()
    assert last.headers["Kanad-Signature"] == f"v1={hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()}"
    assert json.loads(last.body)["experiment_id"] == experiment["id"]
    assert len({told.headers["Kanad-Delivery"] for told in receiver.told}) == 1


def test_without_listed_origins_nobody_is_told(tmp_path: Path) -> None:
    with Receiver() as receiver:
        server = Server(tmp_path)
        try:
            asked = probe(steps=1) | {"notify": [{"url": f"{receiver.url}/hook"}]}
            answer = server.http.post("/api/v1/experiments", json=asked)
        finally:
            server.stop()
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.notify[0].url")
    assert "sends no notifications" in answer.json()["errors"][0]["message"]
    assert receiver.told == []
