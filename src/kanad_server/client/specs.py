"""From the words of a call to a spec: molecules by name, SMILES, text or file; methods and tasks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from kanad_server.client.inputs import read_molecule
from kanad_solvers.library import all_molecules
from kanad_solvers.spec import Method, Molecule, Spec, Task

MoleculeLike: TypeAlias = str | Path | Molecule | dict[str, Any]
Described: TypeAlias = Spec | dict[str, Any]


def build(described: Described | None = None, /, **fields: Any) -> dict[str, Any]:
    """A spec as plain data: `described`, with `fields` laid over it.

    Fields are those of a spec. Some may be shorter: `molecule` is what `molecule_of` takes, with `charge` and
    `multiplicity` beside it; `method` and `task` may be names; a field that is None is left out.

    Raises:
        ValueError: a file cannot be read as a molecule.
    """
    spec: dict[str, Any] = {} if described is None else dict(_plain(described))
    given = {name: value for name, value in fields.items() if value is not None}
    if "molecule" in given:
        spec["molecule"] = molecule_of(given.pop("molecule"))
    elif isinstance(spec.get("molecule"), str | Path):
        spec["molecule"] = molecule_of(spec["molecule"])
    about = {name: given.pop(name) for name in ("charge", "multiplicity") if name in given}
    if about:
        spec["molecule"] = spec.get("molecule", {}) | about
    spec |= {name: _plain(value) for name, value in given.items()}
    for name in ("method", "task"):
        if isinstance(spec.get(name), str):
            spec[name] = {"name": spec[name]}
    return spec


def molecule_of(source: MoleculeLike) -> dict[str, Any]:
    """The molecule that `source` means.

    A path is read as a file, by its suffix; so is a string that ends in a known suffix. Text of several lines is XYZ,
    or an FCIDUMP where it begins with &FCI.
    A name of the library (in any case) is taken as such, everything else as SMILES; ``smiles:CO`` and ``library:CO``
    say which, where both are possible.

    Raises:
        ValueError: the file cannot be read as a molecule.
    """
    if not isinstance(source, str | Path):
        return dict(_plain(source))
    if isinstance(source, Path) or ("\n" not in source and is_file_name(source)):
        return read_molecule(Path(source))
    kind, separator, rest = source.partition(":")
    if separator and kind in ("smiles", "library"):
        return {kind: rest}
    if source.lstrip()[:4].upper() in ("&FCI", "$FCI"):
        return {"fcidump": source}
    if "\n" in source.strip():
        return {"xyz": source}
    return {"library": source} if source.lower() in _library_names() else {"smiles": source}


def is_file_name(text: str) -> bool:
    """Whether a word is meant as a file's name."""
    from kanad_server.client.inputs import SUFFIXES

    return Path(text).suffix.lower() in SUFFIXES or Path(text).name.upper() == "FCIDUMP"


def _library_names() -> set[str]:
    return {name.lower() for entry in all_molecules() for name in (entry.name, *entry.aliases)}


def _plain(value: Described | Method | Task | Molecule | Any) -> Any:
    """Structs as plain data, whole paths and all other things as they are."""
    return value if isinstance(value, str | Path | dict) else msgspec.to_builtins(value)
