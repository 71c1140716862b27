"""What cannot be computed is refused at once: a stable code, the path of the field, nothing stored, no harm done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.server import Server, body, probe

API = "/api/v1/experiments"
H = {"symbol": "H", "position_angstrom": [0.0, 0.0, 0.0]}
H2 = [H, {"symbol": "H", "position_angstrom": [0.0, 0.0, 0.7414]}]
SCAN: dict[str, Any] = {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}}
GOOD: dict[str, Any] = {"molecule": {"atoms": H2}, "method": {"name": "hf"}}


def spec(**changes: Any) -> dict[str, Any]:
    return GOOD | changes


def atom(symbol: str = "H", z: object = 2.0) -> list[dict[str, Any]]:
    return [*H2, {"symbol": symbol, "position_angstrom": [0.0, 0.0, z]}]


MALFORMED = [b"", b"{", b"nonsense", b'{"molecule": ', b'{"name": "\xff"}', b"[" * 100_000, b'{"a":' * 5_000]

IMPOSSIBLE = [
    ("$.molecule.colour", spec(molecule={"atoms": H2, "colour": "red"})),
    ("$.colour", spec(colour="red")),
    ("$.method.colour", spec(method={"name": "hf", "colour": "red"})),
    ("$.molecule.atoms[2].symbol", spec(molecule={"atoms": atom("Xx"), "multiplicity": 2})),
    ("$.molecule.atoms[2].position_angstrom[2]", spec(molecule={"atoms": atom(z=float("nan")), "multiplicity": 2})),
    ("$.molecule.atoms[2].position_angstrom[2]", spec(molecule={"atoms": atom(z=float("inf")), "multiplicity": 2})),
    ("$.molecule.atoms[2]", spec(molecule={"atoms": atom(z=1.0), "multiplicity": 2})),
    ("$.molecule.charge", spec(molecule={"atoms": H2, "charge": 3})),
    ("$.molecule.multiplicity", spec(molecule={"atoms": H2, "multiplicity": 2})),
    ("$.molecule.multiplicity", spec(molecule={"atoms": H2, "multiplicity": 0})),
    ("$.molecule.smiles", spec(molecule={"smiles": "C1CC"})),
    ("$.molecule.smiles", spec(molecule={"smiles": "not a molecule"})),
    ("$.molecule.xyz", spec(molecule={"xyz": "2\n\nH 0 0 0\n"})),
    ("$.molecule.library", spec(molecule={"library": "unobtainium"})),
    ("$.molecule", spec(molecule={})),
    ("$.molecule", spec(molecule={"atoms": H2, "smiles": "[H][H]"})),
    ("$.basis", spec(basis="sto-9000g")),
    ("$.method.name", spec(method={"name": "guess"})),
    ("$.task.name", spec(task={"name": "divination"})),
    ("$.task.name", spec(method={"name": "mp2"}, task={"name": "excited_states"})),
    ("$.method.max_iterations", spec(method={"name": "hf", "max_iterations": -1})),
    ("$.limits.wall_s", spec(limits={"wall_s": 0})),
    ("$.limits.memory_mb", spec(limits={"memory_mb": -5})),
    ("$.method.n_states", spec(method={"name": "fci", "n_states": 5})),
    ("$.task.n_states", spec(task={"name": "excited_states", "n_states": 2})),
    ("$.active_space.orbitals", spec(method={"name": "fci"}, active_space={"electrons": 2, "orbitals": 3})),
    ("$.method.counts", spec(method={"name": "sqd", "sampler": "counts", "counts": {"01": 3}})),
    ("$.method.counts", spec(method={"name": "sqd", "sampler": "counts", "counts": {"1111": 3}, "max_iterations": 1})),
    ("$.method.xc", spec(method={"name": "dft", "xc": "wb97x-d"})),
    ("$.task.values", spec(task=SCAN | {"values": [0.7, 0.0]})),
    ("$.task.coordinate.atoms", spec(task=SCAN | {"coordinate": {"type": "bond", "atoms": [1, 1]}, "values": [0.7]})),
    ("$.tags[0]", spec(tags=[""])),
    ("$.name", spec(name="x" * 201)),
]


def stored(server: Server) -> int:
    with sqlite3.connect(f"file:{server.data / 'kanad.sqlite'}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM experiments").fetchone()[0])


@pytest.fixture(autouse=True)
def nothing_stored_and_the_next_request_works(server: Server) -> Iterator[None]:
    """Holds for every test here."""
    before = stored(server)
    yield
    assert stored(server) == before
    assert server.http.post("/api/v1/estimate", json=GOOD).json()["feasible"] is True


def refused(server: Server, content: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    response = server.http.post(API, content=content, headers={"Content-Type": "application/json"} | headers)
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    for word in ("Traceback", "site-packages", "/home", ".py"):
        assert word not in response.text
    return response.status_code, dict(problem)


@pytest.mark.parametrize("content", MALFORMED, ids=lambda content: repr(content[:12]))
def test_a_body_that_is_not_json_is_400(server: Server, content: bytes) -> None:
    status, problem = refused(server, content)
    assert (status, problem["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(("path", "wrong"), IMPOSSIBLE, ids=[f"{path}-{i}" for i, (path, _) in enumerate(IMPOSSIBLE)])
def test_an_impossible_spec_is_422_with_the_path_of_the_field(server: Server, path: str, wrong: dict[str, Any]) -> None:
    status, problem = refused(server, body(wrong))
    assert (status, problem["code"]) == (422, "invalid_spec")
    assert path in [error["path"] for error in problem["errors"]], problem["errors"]
    assert all(error["message"] for error in problem["errors"])


def test_json_that_is_no_object_is_422(server: Server) -> None:
    for content in (b"null", b"[]", b"3", b'"x"'):
        assert refused(server, content)[0] == 422


def test_a_full_ci_of_1e12_determinants_is_too_large_and_says_what_to_do(server: Server) -> None:
    huge = {"molecule": {"library": "N2"}, "basis": "cc-pvdz", "method": {"name": "fci"}}
    status, problem = refused(server, body(huge))
    assert (status, problem["code"]) == (422, "too_large")
    estimate = problem["details"]["estimate"]
    assert estimate["determinants"] > 1e12
    assert estimate["suggestion"]
    assert server.http.post("/api/v1/estimate", json=huge).json() == estimate


def test_a_body_above_the_limit_is_413_without_reading_it_all(server: Server) -> None:
    status, problem = refused(server, b'{"name": "' + b"x" * (5 * 1024 * 1024))
    assert (status, problem["code"]) == (413, "body_too_large")


def test_another_content_type_is_415(server: Server) -> None:
    status, problem = refused(server, body(GOOD), **{"Content-Type": "text/plain"})
    assert (status, problem["code"]) == (415, "not_json")


def test_the_probe_method_is_served_where_it_was_enabled(server: Server) -> None:
    assert server.http.post("/api/v1/estimate", json=probe(steps=1)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost@evil.example"])
def test_another_host_is_403(server: Server, host: str) -> None:
    status, problem = refused(server, body(GOOD), Host=host)
    assert (status, problem["code"]) == (403, "host_not_served")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil"])
def test_a_page_of_another_site_is_403_over_http_and_websocket(server: Server, origin: str) -> None:
    status, problem = refused(server, body(GOOD), Origin=origin)
    assert (status, problem["code"]) == (403, "origin_not_allowed")
    address = f"{server.url.replace('http', 'ws', 1)}{API}/x/stream"
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(address, proxy=None, additional_headers={"Origin": origin}),
    ):
        pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("?limit=0", "invalid_query"),
        ("?limit=201", "invalid_query"),
        ("?limit=ten", "invalid_query"),
        ("?status=asleep", "invalid_query"),
        ("?sort=colour", "invalid_query"),
        ("?colour=red", "invalid_query"),
        ("?cursor=garbage", "invalid_cursor"),
        ("?cursor=W10=", "invalid_cursor"),
    ],
)
def test_a_bad_query_is_400(server: Server, path: str, code: str) -> None:
    response = server.http.get(f"{API}{path}")
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_what_is_not_there_is_404_and_a_wrong_method_405(server: Server) -> None:
    for path in (f"{API}/none", f"{API}/none/result", f"{API}/none/events", "/api/v1/nothing", "/api/v2/experiments"):
        response = server.http.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), path
    for path in (f"{API}/none/cancel", f"{API}/none/retry"):
        assert server.http.post(path).json()["code"] == "not_found"
    assert server.http.put(API).status_code == 405
