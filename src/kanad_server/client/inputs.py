"""Files that people have: XYZ, PDB, SDF, MOL, QCSchema, FCIDUMP, and specs of ours as JSON or TOML."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from kanad_solvers import qcschema

STRUCTURES = (".pdb", ".sdf", ".mol")
SPECS = (".json", ".toml")
HAMILTONIANS = (".fcidump",)
SUFFIXES = (".xyz", *STRUCTURES, *SPECS, *HAMILTONIANS)


def read(path: Path) -> dict[str, Any]:
    """What a file says, as (a part of) a spec: at least its molecule.

    Raises:
        ValueError: it cannot be read, or is none of the formats; says which and why.
    """
    suffix = path.suffix.lower() if path.suffix else f".{path.name.lower()}"  # an FCIDUMP is often called just that
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: files are {', '.join(SUFFIXES)}")
    try:
        if suffix in STRUCTURES:
            return {"molecule": _structure(path)}
        text = path.read_text(encoding="utf-8")
        if suffix == ".xyz":
            return {"molecule": {"xyz": text}}
        if suffix in HAMILTONIANS:
            return {"molecule": {"fcidump": text}}
        return _spec(json.loads(text) if suffix == ".json" else tomllib.loads(text))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{path}: {why}") from error


def read_molecule(path: Path) -> dict[str, Any]:
    """The molecule of a file.

    Raises:
        ValueError: it cannot be read, or has none.
    """
    found = read(path).get("molecule")
    if not isinstance(found, dict):
        raise ValueError(f"{path}: there is no molecule in it")
    return found


def _spec(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a spec is an object with at least a molecule")
    return qcschema.spec_of(value) if qcschema.is_qcschema(value) else value


def _structure(path: Path) -> dict[str, Any]:
    """Atoms of a file that RDKit reads, with the charge that it states; hydrogens have to be in it."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # missing in the stubs
    path.stat()  # RDKit says nothing of files that are not there
    if path.suffix.lower() == ".pdb":
        found: Chem.Mol | None = Chem.MolFromPDBFile(str(path), removeHs=False, sanitize=False)
    else:
        found = next(iter(Chem.SDMolSupplier(str(path), removeHs=False, sanitize=False)), None)
    if found is None or found.GetNumConformers() == 0:
        raise ValueError("RDKit finds no molecule with coordinates in it")
    positions = found.GetConformer().GetPositions().tolist()
    if all(position[2] == 0.0 for position in positions) and not found.GetConformer().Is3D():
        raise ValueError("it holds a drawing (2D); coordinates in space are needed")
    atoms = [
        {"symbol": atom.GetSymbol(), "position_angstrom": position}
        for atom, position in zip(found.GetAtoms(), positions, strict=True)
    ]
    return {"atoms": atoms, "charge": Chem.GetFormalCharge(found)}
