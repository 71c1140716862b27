"""What the words of a call mean: molecules, methods, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kanad_server.client import specs
from kanad_server.client.inputs import read
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.qcschema import input_path, spec_of
from kanad_solvers.spec import DensityFunctional, HartreeFock, Molecule, Spec

H2_XYZ = "2\n\nH 0 0 0\nH 0 0 0.74\n"
MOL = """
     RDKit          3D

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000    0.0000    0.9700 H   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
M  CHG  1   1  -1
M  END
"""
PDB = """HETATM    1  N1  UNL     1       0.000   0.000   0.000  1.00  0.00           N
HETATM    2  N2  UNL     1       0.000   0.000   1.098  1.00  0.00           N
END
"""


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("O=C", {"smiles": "O=C"}),
        ("n2", {"library": "n2"}),
        ("CO", {"library": "CO"}),
        ("smiles:CO", {"smiles": "CO"}),
        ("library:CO", {"library": "CO"}),
        (H2_XYZ, {"xyz": H2_XYZ}),
        ({"smiles": "C"}, {"smiles": "C"}),
    ],
)
def test_what_a_molecule_means(source: Any, meant: dict[str, Any]) -> None:
    assert specs.molecule_of(source) == meant


def test_fields_lie_over_a_spec() -> None:
    spec = Spec(molecule=Molecule(library="H2"), method=HartreeFock())
    built = specs.build(spec, method="ccsd(t)", basis="cc-pvdz", charge=1, task=None)
    decoded = msgspec.convert(built, Spec)
    assert decoded.molecule == Molecule(library="H2", charge=1)
    assert (decoded.basis, built["method"]) == ("cc-pvdz", {"name": "ccsd(t)"})


@pytest.mark.parametrize(
    ("name", "text", "symbols", "charge"),
    [("oh.mol", MOL, ["O", "H"], -1), ("oh.sdf", MOL + "$$$$\n", ["O", "H"], -1), ("n2.pdb", PDB, ["N", "N"], 0)],
)
def test_structure_files_give_atoms_and_charge(
    tmp_path: Path, name: str, text: str, symbols: list[str], charge: int
) -> None:
    (tmp_path / name).write_text(text)
    molecule = read(tmp_path / name)["molecule"]
    assert [atom["symbol"] for atom in molecule["atoms"]] == symbols
    assert molecule["charge"] == charge
    msgspec.convert(molecule, Molecule)


def test_xyz_json_and_toml_are_read(tmp_path: Path) -> None:
    (tmp_path / "h2.xyz").write_text(H2_XYZ)
    (tmp_path / "spec.json").write_text(json.dumps({"molecule": {"library": "H2"}, "method": {"name": "hf"}}))
    (tmp_path / "spec.toml").write_text('basis = "cc-pvdz"\n[molecule]\nlibrary = "H2"\n[method]\nname = "fci"\n')
    assert specs.molecule_of(str(tmp_path / "h2.xyz")) == {"xyz": H2_XYZ}
    assert read(tmp_path / "spec.json")["method"] == {"name": "hf"}
    assert msgspec.convert(read(tmp_path / "spec.toml"), Spec).basis == "cc-pvdz"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.mol", None, "No such file"),
        ("a.mol", "nonsense", "RDKit finds no molecule"),
        ("a.json", "[1]", "a spec is an object"),
        ("a.json", "{", "Expecting property name"),
        ("a.toml", "=", "Invalid"),
        ("a.xyz", None, "No such file"),
        ("a.cif", "", "files are .xyz"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        read(tmp_path / name)


# QCSchema


def atomic_input(**changes: Any) -> dict[str, Any]:
    """Version 2, as qcelemental writes it."""
    specification = {
        "program": "kanad", "driver": "energy", "model": {"method": "hf", "basis": "sto-3g"}, "keywords": {},
    } | changes  # fmt: skip
    molecule = {"symbols": ["H", "H"], "geometry": [0.0, 0.0, 0.0, 0.0, 0.0, 1.4], "molecular_charge": 0.0}
    return {"schema_name": "qcschema_atomic_input", "molecule": molecule, "specification": specification}


def test_an_atomic_input_is_a_spec() -> None:
    pydantic = pytest.importorskip("qcelemental.models.v2")
    made = pydantic.AtomicInput(
        molecule=pydantic.Molecule(symbols=["He"], geometry=[0.0, 0.0, 0.0], molecular_charge=1),
        specification={
            "driver": "gradient",
            "model": {"method": "B3LYP-D3BJ", "basis": "cc-pVDZ"},
            "keywords": {"grid_level": 5, "limits": {"wall_s": 60}},
        },
    )
    spec = msgspec.convert(spec_of(json.loads(made.model_dump_json())), Spec)
    assert spec.method == DensityFunctional(xc="b3lyp", dispersion="d3bj", grid_level=5)
    assert (spec.basis, spec.molecule.charge, spec.molecule.multiplicity) == ("cc-pvdz", 1, 2)
    assert (spec.limits.wall_s, msgspec.to_builtins(spec.task)) == (60, {"name": "energy", "gradient": True})


def test_version_1_is_read_too() -> None:
    value = {
        "schema_name": "qcschema_input", "driver": "energy", "model": {"method": "UHF", "basis": "sto-3g"},
        "molecule": atomic_input()["molecule"], "keywords": {"conv_tol": 1e-10},
    }  # fmt: skip
    spec = msgspec.convert(spec_of(value), Spec)
    assert spec.method == HartreeFock(reference="uhf", conv_tol=1e-10)
    assert spec.molecule.atoms is not None
    assert spec.molecule.atoms[1].position_angstrom[2] == pytest.approx(0.740848095, abs=1e-9)  # 1.4 bohr


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"program": "psi4"}, "$.specification.program"),
        ({"driver": "hessian"}, "$.specification.driver"),
        ({"model": {"method": "guess", "basis": "sto-3g"}}, "$.specification.model.method"),
        ({"model": {"method": "hf", "basis": {"name": "own"}}}, "$.specification.model.basis"),
        ({"model": None}, "$.specification.model"),
        ({"keywords": {"scf_type": "df"}}, "$.specification.keywords.scf_type"),
        ({"protocols": {"wavefunction": "all"}}, "$.specification.protocols.wavefunction"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(atomic_input(**changes))
    assert caught.value.errors[0].path == path


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"geometry": [0.0]}, "$.molecule.geometry"),
        ({"geometry": "0 0 0"}, "$.molecule.geometry"),
        ({"symbols": None}, "$.molecule.symbols"),
        ({"real": [True, False]}, "$.molecule.real"),
        ({"molecular_charge": 0.5}, "$.molecule.molecular_charge"),
    ],
)
def test_a_molecule_that_cannot_be_computed_is_refused(change: dict[str, Any], path: str) -> None:
    value = atomic_input()
    value["molecule"] = value["molecule"] | change
    with pytest.raises(InvalidSpec) as caught:
        spec_of(value)
    assert caught.value.errors[0].path == path


def test_paths_lead_back_into_the_input() -> None:
    assert input_path("$.method.conv_tol") == "$.specification.keywords.conv_tol"
    assert input_path("$.basis") == "$.specification.model.basis"
    assert input_path("$.limits.wall_s") == "$.specification.keywords.limits.wall_s"
    assert input_path("$.molecule.charge") == "$.molecule.charge"
