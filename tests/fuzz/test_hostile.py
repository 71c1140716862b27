"""Two hundred hostile strings in every string field of a real server, in front of audit hooks in all its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.fuzz.corpus import strings
from tests.support.canaries import HOOK, specs
from tests.support.server import H2_ATOMS, Server, probe

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(240)]
CONTENT = "Zaubertinte"
"""What lies in the files that the corpus names; it must not come back."""
SECRET = "Geheimnisvoll"  # noqa: S105 - it only must not be seen
GOOD: dict[str, Any] = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "hf"}}
PLACES = "KANARIE KANARIE.txt KANARIE.xyz KANARIE.py KANARIE.nwchem KANARIE.dat KANARIE.basis KANARIE.gbs"


class Trap(NamedTuple):
    """A server with hooks, what they caught, and where the files lie."""

    server: Server
    caught: Path
    folder: Path


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    """A server that works in a directory full of bait."""
    hooks, folder = tmp_path_factory.mktemp("hooks"), tmp_path_factory.mktemp("bait")
    (hooks / "sitecustomize.py").write_text(HOOK)
    for name in PLACES.split():
        (folder / name).write_text(CONTENT)
    (folder / ".pyscf_conf.py").write_text(f"open({str(folder / 'KANARIE.conf')!r}, 'w')")
    os.mkfifo(folder / "KANARIE.fifo")
    server = Server(folder, "--slots", "1", environment={"PYTHONPATH": str(hooks), "KANAD_TEST_SECRET": SECRET,
                                                         "HOME": str(folder)})  # fmt: skip
    server.ready()
    yield Trap(server, hooks / "caught", folder)
    server.stop()


def chemistry(text: str) -> list[dict[str, Any]]:
    """A spec for each string field that chemistry is made of: none of these may be computed."""
    method = [{"name": "dft", "xc": text}, {"name": "dft", "dispersion": text}, {"name": "sqd", "sampler": text},
              {"name": "vqe", "ansatz": text}, {"name": "vqe", "optimizer": text}, {"name": "adapt_vqe", "pool": text},
              {"name": "krylov_sqd", "seed": text}, {"name": "casci", "spin": text}]  # fmt: skip
    coordinate = {"type": text, "atoms": [0, 1]}
    scan = {"name": "scan", "coordinate": coordinate, "values": [0.7]}
    free = 4  # name and tags, and the comment of an XYZ text, may hold anything
    return [
        *specs(text)[1:3],
        *specs(text)[free:],
        *(GOOD | {"method": one} for one in method),
        GOOD | {"task": scan},
        GOOD | {"task": {"name": "excited_states", "spin": text}},
        GOOD | {"active_space": {"avas": [text]}},
        GOOD | {"solvent": {"model": "cpcm", "name": text}},
        GOOD | {"molecule": {"fcidump": text}},
        GOOD | {"molecule": {"fcidump": f" &FCI NORB=2,NELEC=2,MS2=0,{text}\n&END\n"}},
        GOOD | {"molecule": {"xyz": f"2\n\n{text}\n{text}\n"}},
        GOOD | {"limits": {"wall_s": text}},
        {"schema_name": "qcschema_input", "schema_version": 1, "driver": text,
         "molecule": {"symbols": [text], "geometry": [0, 0, 0]}, "model": {"method": text, "basis": text}},
        {"schema_name": "qcschema_input", "schema_version": 1, "driver": "energy", "keywords": {text: text},
         "molecule": {"symbols": ["H", "H"], "geometry": [0, 0, 0, 0, 0, 1.4]},
         "model": {"method": "hf", "basis": text}},
    ]  # fmt: skip


def is_silent(trap: Trap, answer: httpx.Response) -> None:
    """Nothing of a file, of the environment or of the inside of the server is in an answer."""
    for word in (CONTENT, SECRET, "root:x:", "Traceback", "site-packages"):
        assert word not in answer.text, answer.text


def test_no_hostile_string_is_computed_run_or_opened(trap: Trap) -> None:
    words = strings(str(trap.folder))
    assert len(words) >= 200
    taken = []

    def offer(text: str) -> None:
        with httpx.Client(base_url=trap.server.url, timeout=60, trust_env=False) as http:
            for spec in chemistry(text):
                answer = http.post("/api/v1/estimate", json=spec)
                is_silent(trap, answer)
                if answer.status_code not in (400, 422):
                    taken.append((answer.status_code, text, spec))
            for path, body in (
                ("/api/v1/molecules/parse", {"smiles": text}),
                ("/api/v1/molecules/parse", {text: text}),
            ):
                answer = http.post(path, json=body)
                is_silent(trap, answer)
                assert answer.status_code in (400, 422), (text, answer.text)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(offer, words))
    assert taken == []
    assert trap.server.system()["slots"][0]["state"] == "idle"
    assert not trap.caught.exists(), trap.caught.read_text()


def test_free_text_is_kept_as_it_came_and_means_nothing(trap: Trap) -> None:
    server = trap.server
    for text in strings(str(trap.folder)):
        spec = probe(steps=1, step_ms=0, name=text[:200]) | {"tags": [text[:64]], "fresh": True}
        answer = server.http.post("/api/v1/experiments", json=spec)
        assert answer.status_code == 201, answer.text
        made = server.get(answer.json()["id"])
        assert (made["name"], made["tags"]) == (text[:200], [text[:64]])
        found = server.http.get("/api/v1/experiments", params={"tag": text[:64], "limit": 200})
        assert made["id"] in [item["id"] for item in found.json()["items"]]
        for parameter in ("q", "method", "campaign", "owner", "cursor", "sort", "status", "after"):
            answer = server.http.get("/api/v1/experiments", params={parameter: text})
            assert answer.status_code in (200, 400), (parameter, text)
            is_silent(trap, answer)
    assert not trap.caught.exists(), trap.caught.read_text()


def test_no_name_in_an_address_opens_a_file(trap: Trap) -> None:
    server = trap.server
    run = server.ended(server.post(GOOD)["id"])["id"]
    for text in strings(str(trap.folder)):
        name = quote(text, safe="")
        for path in (f"/api/v1/experiments/{run}/artifacts/{name}", f"/api/v1/experiments/{name}",
                     f"/api/v1/experiments/{name}/result", f"/api/v1/campaigns/{name}", f"/assets/{name}",
                     f"/runs/{name}"):  # fmt: skip
            answer = server.http.get(path)
            is_silent(trap, answer)
            assert answer.status_code in ((200, 404) if path.startswith("/runs/") else (400, 404)), (path, answer.text)
        orbitals = server.http.get(f"/api/v1/experiments/{run}/artifacts/orbitals.grid", params={"orbitals": text})
        assert orbitals.status_code == 400
    assert not trap.caught.exists(), trap.caught.read_text()


def test_no_file_was_made_and_none_has_changed(trap: Trap) -> None:
    names = {path.name for path in trap.folder.iterdir()} - {"data", "log", "ledger"}
    assert names == {*PLACES.split(), "KANARIE.fifo", ".pyscf_conf.py"}
    assert {(trap.folder / name).read_text() for name in PLACES.split()} == {CONTENT}
