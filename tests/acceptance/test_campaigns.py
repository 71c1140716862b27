"""Batches, campaigns and shared work over HTTP, kills included."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.checks import check_gone, check_log, check_store
from tests.support.server import ENDED, Server, probe, wait_for

API = "/api/v1/experiments"
CAMPAIGNS = "/api/v1/campaigns"
H2: dict[str, Any] = {"molecule": {"library": "H2"}, "method": {"name": "hf"}}
StartServer = Callable[..., Server]


def campaign_ended(server: Server, campaign_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        campaign = server.http.get(f"{CAMPAIGNS}/{campaign_id}").json()
        return campaign if campaign["status"] == "ended" else None

    return dict(wait_for(look, "the campaign to end", 60))


def starts(server: Server) -> int:
    """How often a probe was started."""
    return server.ledger.read_text().count("start ")


def test_a_batch_is_accepted_whole_and_its_key_stands_for_all(server: Server) -> None:
    body = {"experiments": [H2 | {"name": str(number), "fresh": True} for number in range(3)]}
    headers = {"Idempotency-Key": "batch"}
    first = server.http.post(f"{API}/batch", json=body, headers=headers)
    assert first.status_code == 201
    items = first.json()["items"]
    assert [item["name"] for item in items] == ["0", "1", "2"]
    again = server.http.post(f"{API}/batch", json=body, headers=headers)
    assert again.status_code == 200
    assert [item["id"] for item in again.json()["items"]] == [item["id"] for item in items]
    other = server.http.post(f"{API}/batch", json={"experiments": [H2]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    for item in items:
        assert server.ended(item["id"])["status"] == "completed"


def test_a_batch_with_a_bad_one_is_refused_with_its_place_and_leaves_nothing(server: Server) -> None:
    good = H2 | {"tags": ["nothing-of-this"]}
    near = {"atoms": [{"symbol": "H", "position_angstrom": [0, 0, z]} for z in (0, 0.01)]}
    for bad, path in (
        (H2 | {"molecule": near}, "$.experiments[1].molecule.atoms[1]"),
        (H2 | {"method": {"name": "nonsense"}}, "$.experiments[1].method.name"),
        (H2 | {"basis": "no-basis"}, "$.experiments[1].basis"),
        (H2 | {"colour": "red"}, "$.experiments[1].colour"),
    ):
        response = server.http.post(f"{API}/batch", json={"experiments": [good, bad, good]})
        assert response.status_code == 422, response.text
        assert [error["path"] for error in response.json()["errors"]] == [path]
    assert server.http.get(f"{API}?tag=nothing-of-this").json()["items"] == []
    bodies: list[dict[str, Any]] = [{"experiments": []}, {"experiments": [H2] * 1001}, {}]
    for body in bodies:
        assert server.http.post(f"{API}/batch", json=body).status_code == 422


def test_a_result_answers_an_identical_experiment_at_once(server: Server) -> None:
    spec = H2 | {"molecule": {"library": "HF"}, "basis": "6-31g"}
    first = server.ended(server.post(spec)["id"])
    again = server.post(spec | {"name": "again", "priority": 3})
    assert (again["status"], again["reused_from"]) == ("completed", first["id"])
    assert again["energy_hartree"] == first["energy_hartree"]
    assert server.result(again["id"]) == server.result(first["id"])
    assert [event["status"] for event in server.events(again["id"])] == ["queued", "completed"]
    names = [file["name"] for file in server.http.get(f"{API}/{first['id']}/artifacts").json()["items"]]
    assert [file["name"] for file in server.http.get(f"{API}/{again['id']}/artifacts").json()["items"]] == names
    assert server.post(spec | {"fresh": True})["reused_from"] is None
    assert server.http.delete(f"{API}/{first['id']}").status_code == 204
    assert server.result(again["id"])["converged"] is True


def test_equal_probes_run_each_by_itself_unless_they_share(server: Server) -> None:
    before = starts(server) if server.ledger.exists() else 0
    alone = [server.post(probe(steps=5, step_ms=20)) for _ in range(2)]
    shared = [server.post(probe(steps=40, step_ms=20, shared=True)) for _ in range(3)]
    assert [experiment["reused_from"] for experiment in shared[1:]] == [shared[0]["id"]] * 2
    for experiment in (*alone, *shared):
        assert server.ended(experiment["id"])["status"] == "completed"
        check_log(server.events(experiment["id"]))
    steps = [
        [event["iteration"] for event in server.events(experiment["id"]) if event["type"] == "convergence"]
        for experiment in shared
    ]
    assert steps == [list(range(1, 41))] * 3
    assert starts(server) - before == 3


def test_shared_work_survives_a_kill_and_is_not_done_twice(start_server: StartServer) -> None:
    server = start_server("--slots", "2")
    spec = probe(steps=60, step_ms=20, shared=True)
    experiments = [server.post(spec)["id"] for _ in range(4)]
    server.running(experiments[0], 5)
    assert server.http.post(f"{API}/{experiments[0]}/cancel").status_code == 202
    assert server.ended(experiments[0])["status"] == "cancelled"
    server.running(experiments[3], 8)
    server.kill()
    check_gone(server)
    server.start()
    for experiment_id in experiments[1:]:
        ended = server.ended(experiment_id)
        assert (ended["status"], ended["attempt"]) == ("completed", 2)
    for experiment_id in experiments:
        check_log(server.events(experiment_id))
    assert starts(server) == 2
    assert server.stop() == 0
    check_store(server)


def test_a_campaign_from_post_to_table(server: Server) -> None:
    post = {
        "name": "bonds",
        "tags": ["demo"],
        "template": {"tags": ["in-campaign"]},
        "grid": {
            "molecules": [{"library": "H2"}, {"smiles": "[H][H]"}, {"library": "H2"}],
            "methods": [{"name": "hf"}, {"name": "fci"}],
            "bases": ["sto-3g", "6-31g"],
        },
    }
    headers = {"Idempotency-Key": "campaign"}
    response = server.http.post(CAMPAIGNS, json=post, headers=headers)
    assert response.status_code == 201, response.text
    campaign = response.json()
    assert response.headers["location"] == f"{CAMPAIGNS}/{campaign['id']}"
    assert (campaign["name"], campaign["size"], sum(campaign["counts"].values())) == ("bonds", 12, 12)
    again = server.http.post(CAMPAIGNS, json=post, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, campaign["id"])
    ended = campaign_ended(server, campaign["id"])
    assert (ended["counts"], ended["percent"]) == ({"completed": 12}, 100.0)
    rows = server.http.get(f"{CAMPAIGNS}/{campaign['id']}/summary").json()["items"]
    assert [row["index"] for row in rows] == list(range(12))
    assert [row["molecule"] for row in rows[::4]] == ["H2", "[H][H]", "H2"]
    assert [(row["method"], row["basis"]) for row in rows[:4]] == [
        ("hf", "sto-3g"), ("hf", "6-31g"), ("fci", "sto-3g"), ("fci", "6-31g"),
    ]  # fmt: skip
    assert all(row["reused_from"] for row in rows[8:])
    assert [row["energy_hartree"] for row in rows[8:]] == [row["energy_hartree"] for row in rows[:4]]
    text = server.http.get(f"{CAMPAIGNS}/{campaign['id']}/summary", headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    assert server.http.get(f"{CAMPAIGNS}/{campaign['id']}/summary.csv").text == text.text
    table = list(csv.DictReader(io.StringIO(text.text)))
    assert [float(row["energy_hartree"]) for row in table] == [row["energy_hartree"] for row in rows]
    wanted = {"campaign": campaign["id"], "limit": 50, "sort": "created_at"}
    listed = server.http.get(API, params=wanted).json()["items"]
    assert [item["id"] for item in listed] == [row["experiment_id"] for row in rows]
    assert campaign["id"] in [item["id"] for item in server.http.get(CAMPAIGNS).json()["items"]]
    assert server.http.delete(f"{CAMPAIGNS}/{campaign['id']}").status_code == 204
    assert server.http.get(f"{CAMPAIGNS}/{campaign['id']}").status_code == 404
    assert server.http.get(f"{API}/{rows[0]['experiment_id']}").status_code == 404


def test_a_campaign_with_a_bad_member_is_refused_with_its_place(server: Server) -> None:
    grid = {"molecules": [{"library": "H2"}, {"library": "H2", "charge": 0.5}], "methods": [{"name": "hf"}]}
    patches: list[dict[str, Any]] = [{}, {"method": {"name": "hf", "conv_tol": "x"}}]
    posts: list[tuple[dict[str, Any], str]] = [
        ({"grid": grid}, "$.grid.molecules[1].charge"),
        ({"template": H2, "grid": {"bases": ["sto-3g", "no-basis"]}}, "$.grid.bases[1]"),
        ({"template": H2, "experiments": patches}, "$.experiments[1].method.conv_tol"),
        ({"template": H2 | {"priority": 1e9}, "experiments": [{}]}, "$.template.priority"),
    ]
    for post, path in posts:
        response = server.http.post(CAMPAIGNS, json=post)
        assert response.status_code == 422, response.text
        assert [error["path"] for error in response.json()["errors"]] == [path]


def test_a_campaign_streams_its_members_and_ends_with_the_last(server: Server) -> None:
    post = {"template": probe(steps=20, step_ms=10), "experiments": [{"name": str(number)} for number in range(4)]}
    campaign = server.http.post(CAMPAIGNS, json=post).json()
    events: list[dict[str, Any]] = []
    with connect(f"{server.url.replace('http', 'ws', 1)}{CAMPAIGNS}/{campaign['id']}/stream", proxy=None) as socket:
        for frame in socket:
            news = msgspec.json.decode(frame)
            events += news if isinstance(news, list) else [news]
        assert socket.close_code == 1000
    assert {event["type"] for event in events} == {"campaign", "member"}
    last = {event["member"]["index"]: event["member"]["status"] for event in events if event["type"] == "member"}
    assert last == dict.fromkeys(range(4), "completed")
    progress = [event["campaign"]["percent"] for event in events if event["type"] == "campaign"]
    assert progress == sorted(progress)
    assert progress[-1] == 100


def test_a_campaigns_stream_closes_1012_with_the_server_and_shows_all_of_it_anew(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    post = {"template": probe(steps=50, step_ms=20), "experiments": [{"name": str(number)} for number in range(3)]}
    path = f"{CAMPAIGNS}/{server.http.post(CAMPAIGNS, json=post).json()['id']}/stream"
    with connect(server.url.replace("http", "ws", 1) + path, proxy=None) as socket:
        socket.recv(20)
        assert server.stop() == 0
        with suppress(ConnectionClosed):
            while socket.recv(20):
                pass
        assert socket.close_code == 1012
    server.start()
    packed = [Subprotocol("kanad.v1.msgpack")]
    shown: dict[int, str] = {}
    with connect(server.url.replace("http", "ws", 1) + path, proxy=None, subprotocols=packed) as socket:
        for frame in socket:
            assert isinstance(frame, bytes)
            news = msgspec.msgpack.decode(frame)
            members = [one["member"] for one in (news if isinstance(news, list) else [news]) if one["type"] == "member"]
            shown |= {member["index"]: member["status"] for member in members}
    assert shown == dict.fromkeys(range(3), "completed")


def test_a_cancelled_campaign_ends_and_others_go_on(server: Server) -> None:
    post = {"template": probe(steps=2000, step_ms=10), "experiments": [{}] * 20}
    campaign = server.http.post(CAMPAIGNS, json=post).json()
    bystander = server.post(probe(steps=3))["id"]
    assert server.http.delete(f"{CAMPAIGNS}/{campaign['id']}").json()["code"] == "still_active"
    assert server.http.post(f"{CAMPAIGNS}/{campaign['id']}/cancel").status_code == 202
    assert campaign_ended(server, campaign["id"])["counts"] == {"cancelled": 20}
    assert server.ended(bystander)["status"] == "completed"


def test_five_hundred_members_survive_a_kill(start_server: StartServer) -> None:
    server = start_server("--slots", "2")
    post = {"template": probe(steps=0, step_ms=0), "experiments": [{"name": str(number)} for number in range(500)]}
    campaign = server.http.post(CAMPAIGNS, json=post).json()
    wait_for(lambda: server.http.get(f"{CAMPAIGNS}/{campaign['id']}").json()["percent"] > 5, "some to end")
    server.kill()
    server.start()
    assert campaign_ended(server, campaign["id"])["counts"] == {"completed": 500}
    rows = server.http.get(f"{CAMPAIGNS}/{campaign['id']}/summary").json()["items"]
    assert [row["name"] for row in rows] == [str(number) for number in range(500)]
    assert all(row["status"] in ENDED for row in rows)
    assert server.stop() == 0
    check_store(server)
