"""QCSchema in: an `AtomicInput` (version 2, and version 1 as most programs still write it) as a spec of ours.

Nothing is dropped in silence: what changes the numbers is taken over or refused, with the path in the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kanad_solvers import functionals
from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.registry import METHODS

BOHR_ANGSTROM = 0.529177210903  # CODATA 2018
INPUTS = ("qcschema_atomic_input", "qcschema_input")
MOLECULE = "qcschema_molecule"
_SPEC_KEYWORDS = ("active_space", "solvent", "cartesian", "limits", "tags", "priority", "fresh")
_ALIASES = {"scf": "hf", "rhf": "hf", "uhf": "hf", "rohf": "hf", "ccsd_t": "ccsd(t)"}
_DISPERSIONS = ("d3bj", "d4")


def is_qcschema(value: Mapping[str, Any]) -> bool:
    """Whether plain data says of itself that it is an `AtomicInput` or a `Molecule` of QCSchema."""
    return value.get("schema_name") in (*INPUTS, MOLECULE)


def spec_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """The spec (plain data) of an `AtomicInput`; of a `Molecule`, a spec with nothing but that.

    The model's method is a method of ours, or a functional, with ``-d3bj`` or ``-d4`` behind it or not. Keywords are
    the options of our method, and `active_space`, `solvent`, `cartesian`, `limits`.

    Raises:
        InvalidSpec: something in it cannot be taken over; the path is that in the input.
    """
    if value.get("schema_name") == MOLECULE:
        return {"molecule": _molecule(value, "$")}
    is_v1 = value.get("schema_name") == "qcschema_input"
    path = "$" if is_v1 else "$.specification"
    asked = dict(value) if is_v1 else dict(_object(value, "specification", "$"))
    program = asked.get("program") or "kanad"
    if program != "kanad":
        raise InvalidSpec.at(f"{path}.program", f"must be kanad, or left out; got {str(program)[:40]!r}")
    model = _object(asked, "model", path)
    keywords = _object({"keywords": {}} | asked, "keywords", path)
    molecule = _object(value, "molecule", "$")
    spec: dict[str, Any] = {
        "molecule": _molecule(molecule, "$.molecule"),
        "method": _method(model.get("method"), keywords, path),
        "task": _task(asked.get("driver"), path),
    }
    if isinstance(name := molecule.get("name"), str):
        spec["name"] = name[:200]
    if model.get("basis") is not None:
        if not isinstance(model["basis"], str):
            raise InvalidSpec.at(f"{path}.model.basis", "must be the name of a basis set; sets in full are not taken")
        spec["basis"] = model["basis"].lower()
    wavefunction = _object({"protocols": {}} | asked, "protocols", path).get("wavefunction", "none")
    if wavefunction != "none":
        raise InvalidSpec.at(
            f"{path}.protocols.wavefunction", "must be none: orbitals come as a molden file of their own"
        )
    return spec | {name: keywords[name] for name in _SPEC_KEYWORDS if name in keywords}


def input_path(path: str) -> str:
    """The place in an `AtomicInput` (version 2) of a place in the spec that `spec_of` made of it."""
    for ours, theirs in (
        ("$.method.name", "$.specification.model.method"),
        ("$.method", "$.specification.keywords"),
        ("$.basis", "$.specification.model.basis"),
        ("$.task", "$.specification.driver"),
        *((f"$.{name}", f"$.specification.keywords.{name}") for name in _SPEC_KEYWORDS),
    ):
        if path == ours or path.startswith((f"{ours}.", f"{ours}[")):
            return theirs + path.removeprefix(ours)
    return path


def _molecule(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    symbols, geometry = value.get("symbols"), value.get("geometry")
    if not isinstance(symbols, Sequence) or isinstance(symbols, str) or not symbols:
        raise InvalidSpec.at(f"{path}.symbols", "must be a list of element symbols")
    flat = _flat(geometry)
    if flat is None or len(flat) != 3 * len(symbols):
        raise InvalidSpec.at(f"{path}.geometry", f"must be {3 * len(symbols)} numbers, bohr: three for each symbol")
    real = value.get("real")
    if real is not None and real != [True] * len(symbols):
        raise InvalidSpec.at(f"{path}.real", "ghost atoms are not served")
    described: dict[str, Any] = {
        "atoms": [
            {"symbol": symbol, "position_angstrom": [part * BOHR_ANGSTROM for part in flat[3 * i : 3 * i + 3]]}
            for i, symbol in enumerate(symbols)
        ]
    }
    for theirs, ours in (("molecular_charge", "charge"), ("molecular_multiplicity", "multiplicity")):
        number = value.get(theirs)
        if number is not None:
            if not isinstance(number, int | float) or number != int(number):
                raise InvalidSpec.at(f"{path}.{theirs}", f"must be a whole number, got {str(number)[:40]}")
            described[ours] = int(number)
    return described


def _flat(geometry: Any) -> list[float] | None:
    """The numbers of a flat or nested list; None if there is anything else in it."""
    if not isinstance(geometry, Sequence) or isinstance(geometry, str):
        return None
    rows = [row if isinstance(row, Sequence) and not isinstance(row, str) else [row] for row in geometry]
    numbers = [part for row in rows for part in row]
    try:
        return [float(part) for part in numbers] if all(isinstance(part, int | float) for part in numbers) else None
    except OverflowError:
        return None


def _method(name: Any, keywords: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Our method with the options among the keywords; unknown ones are refused."""
    where = f"{path}.model.method"
    if not isinstance(name, str):
        raise InvalidSpec.at(where, "must be the name of a method or of a functional")
    method: dict[str, Any] = {"name": _ALIASES.get(name.lower(), name.lower())}
    if name.lower() in ("rhf", "uhf", "rohf"):
        method["reference"] = name.lower()
    if method["name"] not in METHODS:
        xc, _, dispersion = name.lower().rpartition("-")
        xc, dispersion = (xc, dispersion) if dispersion in _DISPERSIONS else (name.lower(), "none")
        if functionals.canonical(xc) is None:
            offered = ", ".join(METHODS)
            raise InvalidSpec.at(where, f"must be one of {offered}, or a functional; got {name[:40]!r}")
        method = {"name": "dft", "xc": xc, "dispersion": dispersion}
    options = METHODS[method["name"]].options.__struct_fields__
    unknown = [
        FieldError(f"{path}.keywords.{keyword}"[:120], f"unknown keyword; {method['name']} has {', '.join(options)}")
        for keyword in keywords
        if keyword not in (*options, *_SPEC_KEYWORDS, "name")
    ]
    if unknown or keywords.get("name", method["name"]) != method["name"]:
        raise InvalidSpec(unknown or [FieldError(f"{path}.keywords.name", f"must be {method['name']}, or left out")])
    return {keyword: value for keyword, value in keywords.items() if keyword in options} | method


def _task(driver: Any, path: str) -> dict[str, Any]:
    if driver in ("energy", "properties"):
        return {"name": "energy"}
    if driver == "gradient":
        return {"name": "energy", "gradient": True}
    raise InvalidSpec.at(f"{path}.driver", f"must be energy, gradient or properties; got {str(driver)[:40]!r}")


def _object(value: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, Mapping):
        raise InvalidSpec.at(f"{path}.{name}", "must be an object")
    return found
