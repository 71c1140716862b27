"""Each file is read again by its own tool, and says what the run said."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pyscf import fci, scf
from pyscf.tools import cubegen
from pyscf.tools import fcidump as pyscf_fcidump
from pyscf.tools import molden as pyscf_molden

from kanad_solvers import interop
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.molecule import parse
from kanad_solvers.prepare import prepare
from kanad_solvers.progress import Geometry
from kanad_solvers.result import Result
from kanad_solvers.run import run
from kanad_solvers.spec import Molecule, Spec
from kanad_solvers.wavefunction import Wavefunction, decode, molecule_of
from tests.unit.solvers.solving import LIH, OXYGEN, WATER, Reports


def finished(tmp_path: Path, **fields: Any) -> tuple[Spec, Result, Wavefunction, Reports]:
    spec = prepare(msgspec.convert({"molecule": WATER, "method": {"name": "hf"}} | fields, Spec)).spec
    reports = Reports()
    result = run(spec, reports.append, lambda: False, keep=tmp_path / "orbitals")
    return spec, result, decode((tmp_path / "orbitals").read_bytes()), reports


@pytest.mark.parametrize(
    "fields",
    [
        {"basis": "6-31g*"},
        {"basis": "6-31g*", "cartesian": True},
        {"molecule": OXYGEN, "basis": "6-31g"},
    ],
    ids=["spherical", "cartesian", "unrestricted"],
)
def test_a_molden_file_read_by_pyscf_gives_the_same_energy(tmp_path: Path, fields: dict[str, Any]) -> None:
    _, result, kept, _ = finished(tmp_path, **fields)
    (tmp_path / "x.molden").write_text(interop.molden(kept))
    mol, energies, coefficients, occupations, *_ = pyscf_molden.load(str(tmp_path / "x.molden"))
    if isinstance(coefficients, tuple):
        field = scf.UHF(mol)
        mol.spin = 2
    else:
        field = scf.RHF(mol)
    energy = field.energy_tot(field.make_rdm1(np.array(coefficients), np.array(occupations)))
    assert energy == pytest.approx(result.energy_hartree, abs=2e-6)
    assert result.orbitals is not None
    assert np.ravel(energies)[0] == pytest.approx(result.orbitals.energies_hartree[0], abs=1e-5)


def test_a_cube_holds_a_normalised_orbital(tmp_path: Path) -> None:
    _, _, kept, _ = finished(tmp_path)
    (tmp_path / "x.cube").write_text(interop.cube(kept, 5))
    values = cubegen.Cube(molecule_of(kept)).read(str(tmp_path / "x.cube"))
    header = (tmp_path / "x.cube").read_text().splitlines()[3:6]
    steps = [float(line.split()[1 + axis]) for axis, line in enumerate(header)]
    assert float(np.sum(values**2)) * np.prod(steps) == pytest.approx(1, abs=2e-2)


def test_the_grid_of_the_viewer_agrees_with_the_cube(tmp_path: Path) -> None:
    _, result, kept, _ = finished(tmp_path)
    line, _, values = interop.grid(kept, [5, 6]).partition(b"\n")
    header = json.loads(line)
    data = np.frombuffer(values, "<f4").reshape(2, *header["shape"])
    volume = float(np.prod(header["spacing_bohr"]))
    assert np.sum(data.astype(float) ** 2, axis=(1, 2, 3)) * volume == pytest.approx([1, 1], abs=3e-2)
    assert [orbital["number"] for orbital in header["orbitals"]] == [5, 6]
    assert result.orbitals is not None
    assert header["orbitals"][0]["energy_hartree"] == pytest.approx(result.orbitals.homo_hartree)


def test_an_orbital_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    _, _, kept, _ = finished(tmp_path)
    for numbers in ([0], [8], []):
        with pytest.raises(InvalidSpec, match="1 to 7"):
            interop.grid(kept, numbers)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": {"name": "fci"}},
        {"method": {"name": "casci"}, "active_space": {"electrons": 4, "orbitals": 5}, "basis": "6-31g"},
        {"molecule": LIH, "method": {"name": "sqd"}, "active_space": {"frozen_core": True}},
    ],
)
def test_full_ci_on_the_fcidump_is_full_ci_of_the_run(tmp_path: Path, fields: dict[str, Any]) -> None:
    _, result, kept, _ = finished(tmp_path, **fields)
    (tmp_path / "FCIDUMP").write_text(interop.fcidump(kept))
    read = pyscf_fcidump.read(str(tmp_path / "FCIDUMP"), verbose=False)
    energy, _ = fci.direct_spin1.kernel(read["H1"], read["H2"], read["NORB"], read["NELEC"], ecore=read["ECORE"])
    assert energy == pytest.approx(result.comparisons.get("fci", result.energy_hartree), abs=1e-7)


def test_unrestricted_orbitals_have_no_fcidump(tmp_path: Path) -> None:
    _, _, kept, _ = finished(tmp_path, molecule=OXYGEN)
    with pytest.raises(InvalidSpec, match="uhf"):
        interop.fcidump(kept)


@pytest.mark.parametrize("task", [{"name": "energy"}, {"name": "energy", "gradient": True}])
def test_qcschema_is_valid_by_qcelemental(tmp_path: Path, task: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qcelemental.models.v2 import AtomicResult
    spec, result, _, _ = finished(tmp_path, task=task)
    read = AtomicResult.model_validate_json(interop.qcschema(spec, result))
    assert read.properties.return_energy == result.energy_hartree
    assert read.properties.calcinfo_nalpha == read.properties.calcinfo_nbeta == 5
    assert read.molecule.nuclear_repulsion_energy() == pytest.approx(
        result.components["nuclear_repulsion_hartree"], abs=1e-6
    )
    if "gradient" in task:
        assert result.properties is not None
        gradient = np.array(result.properties.gradient_hartree_per_bohr)
        assert np.ravel(read.return_result) == pytest.approx(gradient.ravel())


def test_xyz_files_are_read_by_our_own_reader(tmp_path: Path) -> None:
    _, result, _, reports = finished(tmp_path, basis="3-21g", task={"name": "optimize"})
    again = parse(Molecule(xyz=interop.structure_xyz(result, "two\nlines")))
    assert result.geometry is not None
    assert np.allclose(again.geometry.coordinates_angstrom, result.geometry.coordinates_angstrom, atol=1e-9)
    frames = [report for report in reports if isinstance(report, Geometry)]
    texts = list(interop.trajectory_xyz(result.geometry.symbols, frames))
    assert len(texts) == len(frames) > 2
    last = parse(Molecule(xyz=texts[-1]))
    assert np.allclose(last.geometry.coordinates_angstrom, result.geometry.coordinates_angstrom, atol=1e-9)


def test_the_log_as_csv_has_a_line_for_each_event_and_no_formula() -> None:
    events = [
        {"seq": 1, "type": "log", "level": "info", "message": "=HYPERLINK(1)"},
        {"seq": 2, "type": "convergence", "series": "scf", "iteration": 1, "energy_hartree": -1.5},
        {"seq": 3, "type": "geometry", "step": 0, "coordinates_angstrom": [[0, 0, 0]]},
    ]
    rows = list(csv.DictReader(io.StringIO("".join(interop.events_csv(events)))))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["message"] == "'=HYPERLINK(1)"
    assert float(rows[1]["energy_hartree"]) == -1.5
    assert json.loads(rows[2]["coordinates_angstrom"]) == [[0, 0, 0]]


def test_a_result_is_an_ase_structure_with_its_energy_and_forces(tmp_path: Path) -> None:
    pytest.importorskip("ase")
    _, result, _, _ = finished(tmp_path, task={"name": "energy", "gradient": True})
    atoms = result.to_ase()
    assert atoms.get_chemical_formula() == "H2O"
    assert atoms.get_potential_energy() == pytest.approx(result.energy_hartree * 27.211386, rel=1e-7)
    assert result.properties is not None
    assert result.properties.gradient_hartree_per_bohr is not None
    slope = result.properties.gradient_hartree_per_bohr[0][2]
    assert atoms.get_forces()[0, 2] == pytest.approx(-slope * 51.42206, rel=1e-5)
