"""Tokens, roles, ownership and tickets, over real sockets. The calls are taken from the router: none is forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from kanad_server import tokens
from kanad_server.app import routes
from kanad_server.http.rules import RULES, calls
from tests.support.people import bearer, client, token_for
from tests.support.server import Server, probe, wait_for

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # what an operator may say
STRANGER = "127.0.0.2"
"""Wrong tokens come from here, so that the patience with ours is not used up."""
PUBLIC = {call for call, rule in RULES.items() if rule.role is None}
CALLS = sorted({call for call, _ in calls(routes())})
CLOSED = [call for call in CALLS if call not in PUBLIC]


class House:
    """A server with four tokens, and an experiment each of Ana's and Eve's."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ana, self.eve = token_for(server, "ana"), token_for(server, "eve")
        self.screen, self.admin = token_for(server, "ana", "viewer"), token_for(server, "root", "admin")
        self.anas = self.posted(self.ana, "anas")
        self.eves = self.posted(self.eve, "eves")

    def posted(self, token: str, name: str) -> str:
        spec = probe(steps=2, step_ms=1, name=name)
        with client(self.server, token) as http:
            response = http.post("/api/v1/experiments", json=spec, headers={"Prefer": "wait=60"})
            assert response.status_code == 201, response.text
            assert response.json()["status"] == "completed"
            return str(response.json()["id"])

    def call(self, call: str, token: str | None, experiment_id: str, source: str = "127.0.0.1") -> httpx.Response:
        """One call of the router's, as the bearer of `token`, from an address of this machine."""
        method, _, path = call.partition(" ")
        path = path.replace("{id}", experiment_id).replace("{name}", "events.csv")
        with client(self.server, token, source) as http:
            if method == "WS":
                return handshake(http, path)
            return http.request(method, path, json={} if method == "POST" else None)


def handshake(http: httpx.Client, path: str, **headers: str) -> httpx.Response:
    """The answer to a WebSocket handshake; 101 is not read further."""
    asked = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    with http.stream("GET", path, headers=asked | headers) as response:
        if response.status_code != 101:
            response.read()
        return response


@pytest.fixture(scope="module")
def house(server: Server) -> House:
    return House(server)


def test_every_call_has_a_rule() -> None:
    assert set(CALLS) <= set(RULES)
    assert {call for call in PUBLIC if not call.startswith("GET ")} == set()
    assert {call for call in PUBLIC if call.startswith("GET /api/")} == set()


@pytest.mark.parametrize("call", CLOSED)
def test_no_call_is_open_by_default(house: House, call: str) -> None:
    revoked, row = tokens.create(house.server.data, name="ana", role="admin")
    tokens.revoke(house.server.data, row.id)
    assert house.call(call, None, house.anas).status_code == 401
    for token in ("kanad_000000000000_" + "x" * 43, revoked):
        assert house.call(call, token, house.anas, STRANGER).status_code in (401, 429)


@pytest.mark.parametrize("call", [call for call in CLOSED if "{id}" in call and not call.startswith("WS ")])
def test_what_belongs_to_another_is_answered_like_what_is_not_there(house: House, call: str) -> None:
    absent = house.eves[:-12] + "0" * 12
    foreign, missing = house.call(call, house.ana, house.eves), house.call(call, house.ana, absent)
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text.replace(house.eves, "ID") == missing.text.replace(absent, "ID")
    # An answer that is out before the last of the body is in closes the connection: that is a matter of timing alone.
    assert foreign.headers.keys() - {"connection"} == missing.headers.keys() - {"connection"}
    assert house.call("GET /api/v1/experiments/{id}", house.eve, house.eves).json()["name"] == "eves"


def test_a_stream_of_another_closes_like_one_that_is_not_there(house: House) -> None:
    ends = []
    for experiment_id in (house.eves, "none"):
        address = f"{house.server.url.replace('http', 'ws', 1)}/api/v1/experiments/{experiment_id}/stream"
        with (
            connect(address, proxy=None, additional_headers=bearer(house.ana)) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(10)
        assert closed.value.rcvd is not None
        ends.append((closed.value.rcvd.code, closed.value.rcvd.reason))
    assert ends[0] == ends[1]
    assert ends[0][0] == 4404


def test_lists_hold_what_is_ones_own_and_an_admin_sees_all(house: House) -> None:
    def names(token: str, **query: str) -> set[str]:
        with client(house.server, token) as http:
            items = http.get("/api/v1/experiments", params=query).json()["items"]
        return {item["name"] for item in items}

    assert names(house.ana) == names(house.screen) == {"anas"}
    assert names(house.eve, q="anas") == set()
    assert names(house.eve, q=house.anas) == set()
    assert names(house.admin) >= {"anas", "eves"}
    assert names(house.admin, owner="eve") == {"eves"}
    with client(house.server, house.ana) as http:
        assert http.get("/api/v1/experiments?owner=eve").status_code == 400


@pytest.mark.parametrize("call", [call for call, rule in RULES.items() if rule.role in ("user", "admin")])
def test_a_viewer_changes_nothing(house: House, call: str) -> None:
    answer = house.call(call, house.screen, house.anas)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert house.call("GET /api/v1/experiments/{id}", house.screen, house.anas).status_code == 200


def test_keys_of_two_people_do_not_meet(house: House) -> None:
    ids = set()
    for token in (house.ana, house.eve):
        with client(house.server, token) as http:
            answer = http.post("/api/v1/experiments", json=probe(steps=1), headers={"Idempotency-Key": "the same"})
            assert answer.status_code == 201
            ids.add(answer.json()["id"])
    assert len(ids) == 2


def test_slots_do_not_tell_what_others_run(house: House) -> None:
    with client(house.server, house.eve) as http:
        running = http.post("/api/v1/experiments", json=probe(steps=1_000, step_ms=20)).json()["id"]

        def shown(token: str) -> set[str]:
            with client(house.server, token) as other:
                return {slot["experiment_id"] for slot in other.get("/api/v1/system").json()["slots"]} - {None}

        wait_for(lambda: running in shown(house.eve), "the experiment to run")
        assert running in shown(house.admin)
        assert running not in shown(house.ana)
        http.post(f"/api/v1/experiments/{running}/cancel")


@pytest.mark.parametrize("parameter", ["token", "access_token", "api_key", "Authorization"])
def test_a_token_in_the_address_is_refused(house: House, parameter: str) -> None:
    with client(house.server, None) as http:
        answer = http.get(f"/api/v1/experiments?{parameter}={house.ana}")
        socket = handshake(http, f"/api/v1/experiments/{house.anas}/stream?{parameter}={house.ana}")
    assert (answer.status_code, answer.json()["code"]) == (400, "token_in_address")
    assert house.ana not in answer.text
    assert socket.status_code == 400


def test_a_ticket_opens_one_stream_once_and_nothing_else(house: House) -> None:
    with client(house.server, house.screen) as http:
        answer = http.post("/api/v1/tickets")
        assert answer.status_code == 201
        ticket = answer.json()["ticket"]
        assert answer.json()["expires_in_s"] <= 30
    path = f"/api/v1/experiments/{house.anas}"
    with client(house.server, None) as http:
        assert http.get(f"{path}?ticket={ticket}").status_code == 401
        assert http.get(f"/api/v1/experiments?ticket={ticket}").status_code == 401
    address = f"{house.server.url.replace('http', 'ws', 1)}{path}/stream?ticket={ticket}"
    with connect(address, proxy=None) as socket:
        assert json.loads(socket.recv(10))
    with pytest.raises(InvalidStatus) as caught, connect(address, proxy=None):
        pass
    assert caught.value.response.status_code == 401


def test_a_ticket_sees_no_more_than_its_person(house: House) -> None:
    with client(house.server, house.screen) as http:
        ticket = http.post("/api/v1/tickets").json()["ticket"]
    address = f"{house.server.url.replace('http', 'ws', 1)}/api/v1/experiments/{house.eves}/stream?ticket={ticket}"
    with connect(address, proxy=None) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4404


def test_a_revoked_token_is_refused_within_a_second_or_so(house: House) -> None:
    token, row = tokens.create(house.server.data, name="gone", role="user")
    with client(house.server, token) as http:
        wait_for(lambda: http.get("/api/v1/methods").status_code == 200, "the token to be known")
        tokens.revoke(house.server.data, row.id)
        wait_for(lambda: http.get("/api/v1/methods").status_code == 401, "the revocation to be known", 10.0)


def test_no_token_stands_in_the_log_the_store_or_an_answer(house: House) -> None:
    secret = house.ana.split("_", 2)[2]
    assert secret not in house.server.log()
    for file in house.server.data.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    done = kanad("token", "ls", "--data-dir", str(house.server.data), "--json")
    assert {row["name"] for row in json.loads(done.stdout)} >= {"ana", "eve", "root"}
    assert secret not in done.stdout
    assert "hash" not in done.stdout


def kanad(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kanad_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_token_from_the_command_line_lets_in_while_the_server_runs(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "1")
    assert server.http.get("/api/v1/system").status_code == 200
    done = kanad("token", "create", "--name", "ana", "--role", "user", "--data-dir", str(server.data))
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    assert token not in done.stderr
    wait_for(lambda: server.http.get("/api/v1/system").status_code == 401, "the server to close")
    assert server.http.get("/api/v1/system", headers=bearer(token)).status_code == 200
    row = tokens.listed(server.data)[0]
    assert kanad("token", "revoke", row.id, "--data-dir", str(server.data)).returncode == 0
    wait_for(lambda: server.http.get("/api/v1/system", headers=bearer(token)).status_code == 401, "the revocation")
    again = kanad("token", "revoke", row.id, "--data-dir", str(server.data))
    assert (again.returncode, "no token" in again.stderr) == (1, True)


def serve_once(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return kanad("serve", "--port", "0", "--data-dir", str(data), *options)


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    _, row = tokens.create(tmp_path / "revoked", name="ana", role="user")
    tokens.revoke(tmp_path / "revoked", row.id)
    for data in (tmp_path / "empty", tmp_path / "revoked"):
        for host in (EVERY_ADDRESS, "::", "127.0.0.1.example"):
            done = serve_once(data, "--host", host)
            assert done.returncode == 1
            assert "kanad token create" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    done = serve_once(tmp_path, "--certfile", "cert.pem")
    assert (done.returncode, "keyfile" in done.stderr) == (1, True)


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Server]:
    """A server on every address of this machine."""
    tokens.create(tmp_path / "data", name="ana", role="user")
    names = {"KANAD_ALLOWED_HOSTS": "chem.example, Other.Example", "KANAD_ALLOWED_ORIGINS": "https://pages.example"}
    server = Server(tmp_path, "--slots", "1", "--host", EVERY_ADDRESS, environment=names)
    yield server
    assert server.stop() == 0


def test_with_a_token_any_address_is_served_to_its_names_alone(public: Server) -> None:
    assert "unencrypted" in public.log()

    def status(**headers: str) -> int:
        return public.http.get("/health/live", headers={"Host": "localhost"} | headers).status_code

    assert status(Host=f"{EVERY_ADDRESS}:80") == 403
    assert [status(Host=host) for host in ("chem.example", "OTHER.example:8000", "localhost")] == [200, 200, 200]
    assert [status(Host=host) for host in ("evil.example", "chem.example.evil", "x.chem.example")] == [403, 403, 403]
    assert status(Origin="https://pages.example") == 200
    for origin in ("http://pages.example", "https://pages.example.evil", "null"):
        assert status(Origin=origin) == 403
    assert public.http.get("/api/v1/system", headers={"Host": "localhost"}).status_code == 401
