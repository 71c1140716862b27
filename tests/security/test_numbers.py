"""Numbers that are none, too large, or another type, and text that is none: refused by name, or kept exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.server import H2_ATOMS, Server, probe

NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.0", "1e-400", str(2**31), str(2**53 + 1), str(2**63),
           str(-(2**63) - 1), str(10**30), "1e308", "true", "false", '"1"', "null", "[]", "{}"]  # fmt: skip
FIELDS: dict[str, str] = {
    "molecule.charge": '{"molecule":{"library":"H2","charge":#},"method":{"name":"hf"}}',
    "molecule.multiplicity": '{"molecule":{"library":"H2","multiplicity":#},"method":{"name":"hf"}}',
    "position": '{"molecule":{"atoms":[{"symbol":"H","position_angstrom":[0,0,0]},'
    '{"symbol":"H","position_angstrom":[0,#,0.7]}]},"method":{"name":"hf"}}',
    "limits.wall_s": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"limits":{"wall_s":#}}',
    "limits.memory_mb": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"limits":{"memory_mb":#}}',
    "priority": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"priority":#}',
    "conv_tol": '{"molecule":{"library":"H2"},"method":{"name":"hf","conv_tol":#}}',
    "max_iterations": '{"molecule":{"library":"H2"},"method":{"name":"hf","max_iterations":#}}',
    "seed": '{"molecule":{"library":"H2"},"method":{"name":"sqd","seed":#}}',
    "noise": '{"molecule":{"library":"H2"},"method":{"name":"sqd","noise":#}}',
    "counts": '{"molecule":{"library":"H2"},"method":{"name":"sqd","sampler":"counts","counts":{"0101":#}}}',
    "time_step": '{"molecule":{"library":"H2"},"method":{"name":"krylov_sqd","time_step":#}}',
    "electrons": '{"molecule":{"library":"H2"},"method":{"name":"casci"},"active_space":{"electrons":#,"orbitals":2}}',
    "scan value": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"task":{"name":"scan",'
    '"coordinate":{"type":"bond","atoms":[0,1]},"values":[0.7,#]}}',
    "scan atom": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"task":{"name":"scan",'
    '"coordinate":{"type":"bond","atoms":[0,#]},"values":[0.7]}}',
    "temperature_k": '{"molecule":{"library":"H2"},"method":{"name":"hf"},"task":{"name":"frequencies",'
    '"temperature_k":#}}',
}


@pytest.mark.parametrize("field", FIELDS)
def test_no_number_is_a_fault_or_changed_in_silence(server: Server, field: str) -> None:
    for number in NUMBERS:
        body = FIELDS[field].replace("#", number)
        answer = server.http.post("/api/v1/estimate", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), (number, answer.text)
        if number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"1"', "{}", "true", "false"):
            assert answer.status_code in (400, 422), (number, answer.text)
        if answer.status_code == 422:
            assert answer.json()["errors"], answer.text
            assert answer.json()["errors"][0]["path"].startswith("$"), answer.text


@pytest.mark.parametrize("number", ["-0.0", "0.1", "1e-7", "0.30000000000000004", "123.456789012345"])
def test_a_number_that_is_taken_is_kept_to_the_last_digit(server: Server, number: str) -> None:
    atoms = [*H2_ATOMS[:1], {"symbol": "H", "position_angstrom": [0.0, 0.0, 0.7414]}]
    spec = probe(steps=1, step_ms=0) | {"molecule": {"atoms": atoms}, "fresh": True}
    spec["molecule"]["atoms"][1]["position_angstrom"][1] = json.loads(number)
    kept = server.post(spec)["spec"]["molecule"]["atoms"][1]["position_angstrom"][1]
    assert repr(kept) == repr(json.loads(number))


TEXTS = {
    "NUL": "a\x00b",
    "controls": "\x01\x1b[31m\x7f",
    "separators": "a\u2028b\u2029c\x85",
    "outside": "\U0001f9ea\uffff",
    "turned": "\u202eabc",
    "combining": "e\u0301",
    "long": "\u00e9" * 200,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_name_is_kept_to_the_last_byte(server: Server, text: str) -> None:
    made = server.post(probe(steps=1, step_ms=0, name=text) | {"tags": [text[:64]], "fresh": True})
    again = server.get(made["id"])
    assert (again["name"], again["tags"]) == (text, [text[:64]])
    listed = server.http.get("/api/v1/experiments", params={"tag": text[:64], "limit": 200}).json()["items"]
    assert made["id"] in [item["id"] for item in listed]


@pytest.mark.parametrize("text", [rb"\ud800", rb"a\udfffb", b"\xff", b"\xed\xa0\x80"])
def test_a_name_that_is_no_text_is_refused(server: Server, text: bytes) -> None:
    body = json.dumps(probe(steps=1, step_ms=0, name="NAME")).encode().replace(b"NAME", text)
    answer = server.http.post("/api/v1/experiments", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


def test_a_result_that_is_no_number_fails_the_experiment(server: Server) -> None:
    made: dict[str, Any] = server.post(probe(steps=1, step_ms=0, fault="nan_result"))
    ended = server.ended(made["id"])
    assert (ended["status"], ended["energy_hartree"]) == ("failed", None)
    assert ended["error"]["code"] == "bad_result"
    assert server.http.get(f"/api/v1/experiments/{made['id']}/result").status_code == 409
