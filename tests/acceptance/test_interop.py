"""The programs that chemists have already: QCSchema over HTTP, QCEngine, ASE."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kanad_server.client import SyncClient
from tests.support.server import Server

WATER_BOHR = [0.0, 0.0, 0.2217, 0.0, 1.4309, -0.8867, 0.0, -1.4309, -0.8867]


def test_an_atomic_input_is_computed_and_its_result_validates(server: Server) -> None:
    v2 = pytest.importorskip("qcelemental.models.v2")
    asked = v2.AtomicInput(
        molecule=v2.Molecule(symbols=["O", "H", "H"], geometry=WATER_BOHR),
        specification={"driver": "gradient", "model": {"method": "hf", "basis": "sto-3g"}},
    )
    experiment = server.post(json.loads(asked.model_dump_json()))
    server.ended(experiment["id"])
    answer = server.http.get(f"/api/v1/experiments/{experiment['id']}/artifacts/qcschema.json")
    result = v2.AtomicResult(**answer.json())
    plain = server.result(experiment["id"])
    assert result.properties.return_energy == plain["energy_hartree"]
    np.testing.assert_allclose(result.return_result, plain["properties"]["gradient_hartree_per_bohr"])


def test_what_an_atomic_input_asks_in_vain_is_named_by_its_own_path(server: Server) -> None:
    value = {
        "schema_name": "qcschema_atomic_input",
        "molecule": {"symbols": ["He"], "geometry": [0, 0, 0]},
        "specification": {"driver": "energy", "model": {"method": "hf", "basis": "sto-3g"}, "keywords": {}},
    }
    for keywords, path in (
        ({"scf_type": "df"}, "$.specification.keywords.scf_type"),
        ({"conv_tol": 5}, "$.specification.keywords.conv_tol"),
        ("all", "$.specification.keywords"),
    ):
        changed = value | {"specification": value["specification"] | {"keywords": keywords}}  # type: ignore[operator]
        answer = server.http.post("/api/v1/experiments", json=changed)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["path"] == path


def test_qcengine_computes_on_a_server(server: Server) -> None:
    qcengine = pytest.importorskip("qcengine")
    from kanad_server.client.qcengine import register

    asked = {
        "molecule": {"symbols": ["He"], "geometry": [0.0, 0.0, 0.0]},
        "specification": {"driver": "energy", "model": {"method": "fci", "basis": "cc-pvdz"}},
    }
    with SyncClient(server.url) as client:
        register(client)
        result = qcengine.compute(asked, "kanad", raise_error=True)
        assert result.return_result == pytest.approx(-2.88759483, abs=1e-7)  # full CI, PySCF 2.14.0
        wrong = asked | {"specification": {"driver": "energy", "model": {"method": "guess", "basis": "cc-pvdz"}}}
        failed = qcengine.compute(wrong, "kanad")
        assert failed.error.error_type == "input_error"


def test_ase_relaxes_water(server: Server) -> None:
    ase = pytest.importorskip("ase")
    from ase.optimize import BFGS

    from kanad_server.client.ase import KanadCalculator

    water = ase.Atoms("OHH", [(0, 0, 0), (0, 0.8, 0.6), (0, -0.8, 0.6)])
    with SyncClient(server.url) as client:
        water.calc = KanadCalculator(client, method="hf", basis="sto-3g")
        assert BFGS(water, logfile=None).run(fmax=0.01, steps=30)
        # RHF/STO-3G water: 0.9894 A and 100.03 degrees (Szabo and Ostlund, Modern Quantum Chemistry, chapter 3).
        assert water.get_distance(0, 1) == pytest.approx(0.9894, abs=2e-3)
        assert water.get_angle(1, 0, 2) == pytest.approx(100.0, abs=0.3)
        before = water.get_potential_energy()
        moved = water.copy()
        moved.positions[1, 2] += 1e-3
        moved.calc = water.calc
        slope = (moved.get_potential_energy() - before) / 1e-3
        assert -moved.get_forces()[1, 2] == pytest.approx(slope, abs=0.05)
        water.pbc = True
        with pytest.raises(ValueError, match="periodic"):
            water.get_potential_energy()
