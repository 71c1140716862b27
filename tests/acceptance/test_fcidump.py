"""A Hamiltonian without a molecule, from the file that the server itself gives out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kanad_server.client import InvalidInput, SyncClient
from tests.acceptance.test_command_line import kanad
from tests.support.server import Server

HUBBARD = "&FCI NORB=2,NELEC=2,MS2=0,\n&END\n4.0 1 1 1 1\n4.0 2 2 2 2\n-1.0 2 1 0 0\n"
EXACT = 2 - 8**0.5  # two sites, U = 4 t


def test_the_fcidump_of_a_run_runs_again_with_the_same_energy(server: Server, tmp_path: Path) -> None:
    with SyncClient(server.url) as client:
        asked = client.submit(molecule="LiH", method="casci", active_space={"electrons": 2, "orbitals": 4})
        energy = asked.result().energy_hartree
        path = asked.download("fcidump", tmp_path / "lih.fcidump")
        done = kanad("run", str(path), "-m", "fci", "--json", url=server.url)
        assert json.loads(done.stdout)["energy_hartree"] == pytest.approx(energy, abs=1e-8)
        run = client.submit(molecule=path.read_text(), method="vqe")
        assert run.result().geometry is None
        assert [artifact.name for artifact in run.artifacts()] == ["circuit.qasm", "events.csv"]
        for name in ("structure.xyz", "qcschema.json", "fcidump", "orbitals.molden", "orbital-1.cube"):
            assert server.http.get(f"/api/v1/experiments/{run.id}/artifacts/{name}").status_code == 404


@pytest.mark.parametrize("method", ["fci", "selected_ci", "sqd"])
def test_a_file_that_is_called_fcidump_runs_by_its_methods(server: Server, tmp_path: Path, method: str) -> None:
    (tmp_path / "FCIDUMP").write_text(HUBBARD)
    done = kanad("run", str(tmp_path / "FCIDUMP"), "-m", method, "--json", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["energy_hartree"] == pytest.approx(EXACT, abs=1e-8)


def test_a_model_in_python_over_http_and_what_is_wrong_with_it(server: Server) -> None:
    with SyncClient(server.url) as client:
        run = client.submit(molecule=HUBBARD, method="fci", name="a dimer")
        assert run.result().energy_hartree == pytest.approx(EXACT, abs=1e-10)
        assert run.experiment.spec.basis == "none"
        parsed = server.http.post("/api/v1/molecules/parse", json={"fcidump": HUBBARD}).json()
        assert (parsed["orbitals"], parsed["electrons"], parsed["geometry"]["symbols"]) == (2, 2, [])
        assert client.estimate(molecule=HUBBARD, method="sqd").determinants == 4
        with pytest.raises(InvalidInput) as caught:
            client.submit(molecule=HUBBARD.replace("-1.0 2 1", "-1.0 3 1"), method="fci")
        assert caught.value.errors[0].path == "$.molecule.fcidump"
        assert "line 5: orbitals are 1 to 2" in caught.value.errors[0].message
        long = client.submit(molecule=HUBBARD + "0.0 1 1 0 0\n" * 100, method="fci")
        listed = next(client.experiments(q=long.id))
        assert listed.spec.molecule.fcidump == (HUBBARD + "0.0 1 1 0 0\n" * 100)[:500]
        assert client.experiment(long.id).spec.molecule.fcidump == HUBBARD + "0.0 1 1 0 0\n" * 100
