"""From what a person wrote to nuclei: SMILES, XYZ text, atoms or a library name; checked, never corrected."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import Any, TypeAlias

from kanad_solvers.elements import ATOMIC_NUMBER
from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.prepare import Parsed
from kanad_solvers.result import Coordinates, Vector
from kanad_solvers.spec import MAX_ATOMS, Molecule

CLOSEST_ANGSTROM = 0.3
FARTHEST_ANGSTROM = 1_000.0
SOURCES = ("smiles", "xyz", "atoms", "library", "fcidump")
SMILES_SEED = 42
EMBEDDING_ATTEMPTS = 20

_Sites: TypeAlias = list[tuple[str, Vector]]


def parse(molecule: Molecule) -> Parsed:
    """The molecule, resolved to nuclei, or the Hamiltonian, read.

    Raises:
        InvalidSpec: every rule that it breaks, each with the path of its field.
    """
    sources = [name for name in SOURCES if getattr(molecule, name) is not None]
    if len(sources) != 1:
        given = ", ".join(sources) or "none"
        raise InvalidSpec.at("$.molecule", f"needs exactly one of {', '.join(SOURCES)}; got {given}")
    return _nuclei(molecule, f"$.molecule.{sources[0]}") if molecule.fcidump is None else _hamiltonian(molecule)


def _hamiltonian(molecule: Molecule) -> Parsed:
    from kanad_solvers import fcidump

    assert molecule.fcidump is not None
    found = fcidump.read(molecule.fcidump)
    if molecule.charge != 0:
        raise InvalidSpec.at(
            "$.molecule.charge", f"an fcidump counts its own electrons (NELEC); leave charge out, got {molecule.charge}"
        )
    multiplicity = found.unpaired + 1 if molecule.multiplicity is None else molecule.multiplicity
    _check_electrons(found.electrons, 0, multiplicity)
    return Parsed(
        geometry=Coordinates(symbols=(), coordinates_angstrom=()),
        formula="",
        charge=0,
        multiplicity=multiplicity,
        electrons=found.electrons,
        warnings=found.notes,
        orbitals=found.norb,
    )


@lru_cache(maxsize=256)
def _nuclei(molecule: Molecule, path: str) -> Parsed:
    multiplicity = molecule.multiplicity
    warnings: tuple[str, ...] = ()
    if molecule.atoms is not None:
        nuclei: _Sites = [(atom.symbol, atom.position_angstrom) for atom in molecule.atoms]
    elif molecule.xyz is not None:
        nuclei = _read_xyz(molecule.xyz)
    elif molecule.library is not None:
        from kanad_solvers.library import get

        entry = get(molecule.library)
        geometry = entry.geometry
        nuclei = list(zip(geometry.symbols, geometry.coordinates_angstrom, strict=True))
        multiplicity = entry.multiplicity if multiplicity is None and molecule.charge == 0 else multiplicity
    else:
        assert molecule.smiles is not None
        nuclei = _embed(molecule.smiles, molecule.charge)
        warnings = ("the geometry was guessed from SMILES; optimise it, or give coordinates, for a real structure",)
    _check_nuclei(nuclei, path, indexed=molecule.atoms is not None)
    multiplicity = 1 if multiplicity is None else multiplicity
    electrons = sum(ATOMIC_NUMBER[symbol] for symbol, _ in nuclei) - molecule.charge
    _check_electrons(electrons, molecule.charge, multiplicity)
    return Parsed(
        geometry=Coordinates(
            symbols=tuple(symbol for symbol, _ in nuclei),
            coordinates_angstrom=tuple(position for _, position in nuclei),
        ),
        formula=formula([symbol for symbol, _ in nuclei]),
        charge=molecule.charge,
        multiplicity=multiplicity,
        electrons=electrons,
        warnings=warnings,
    )


def formula(symbols: list[str]) -> str:
    """The sum formula in Hill's order: carbon, hydrogen, then by the alphabet."""
    counts = Counter(symbols)
    first = [symbol for symbol in ("C", "H") if symbol in counts and "C" in counts]
    rest = sorted(symbol for symbol in counts if symbol not in first)
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in first + rest)


def _check_nuclei(nuclei: _Sites, path: str, *, indexed: bool) -> None:
    errors = []
    for index, (symbol, position) in enumerate(nuclei):
        where = f"{path}[{index}]" if indexed else path
        if symbol not in ATOMIC_NUMBER:
            place = f"{where}.symbol" if indexed else where
            errors.append(FieldError(place, f"element symbols are H to Rn, written like He; got {symbol!r}"))
        for axis, value in enumerate(position):
            if not math.isfinite(value) or abs(value) > FARTHEST_ANGSTROM:
                place = f"{where}.position_angstrom[{axis}]" if indexed else where
                errors.append(
                    FieldError(place, f"coordinates are finite and within {FARTHEST_ANGSTROM:g} A; got {value}")
                )
    if not errors:
        errors = too_close(nuclei, path, indexed=indexed)
    if errors:
        raise InvalidSpec(errors)


def too_close(nuclei: _Sites, path: str, *, indexed: bool) -> list[FieldError]:
    """A rule broken for each pair nearer than 0.3 angstrom (ten at most), by a sweep along x."""
    order = sorted(range(len(nuclei)), key=lambda index: nuclei[index][1][0])
    errors = []
    for rank, i in enumerate(order):
        for j in order[rank + 1 :]:
            if nuclei[j][1][0] - nuclei[i][1][0] >= CLOSEST_ANGSTROM:
                break
            distance = math.dist(nuclei[i][1], nuclei[j][1])
            if distance < CLOSEST_ANGSTROM:
                low, high = sorted((i, j))
                message = f"atoms {low} and {high} are {distance:.4f} A apart; at least {CLOSEST_ANGSTROM} A is needed"
                errors.append(FieldError(f"{path}[{high}]" if indexed else path, message))
                if len(errors) >= 10:
                    return errors
    return errors


def _check_electrons(electrons: int, charge: int, multiplicity: int) -> None:
    if electrons < 1:
        raise InvalidSpec.at("$.molecule.charge", f"charge {charge} leaves {electrons} electrons; at least 1 is needed")
    unpaired = multiplicity - 1
    if unpaired > electrons or (electrons - unpaired) % 2:
        possible = list(range(electrons % 2 + 1, electrons + 2, 2))
        named = ", ".join(map(str, possible[:4])) + (", ..." if len(possible) > 4 else "")
        raise InvalidSpec.at(
            "$.molecule.multiplicity", f"{electrons} electrons allow multiplicity {named}; got {multiplicity}"
        )


def _read_xyz(text: str) -> _Sites:
    """Lines of ``symbol x y z``, with or without the count and the comment above them."""
    lines = text.splitlines()
    start, count = 0, None
    if lines and lines[0].strip().isascii() and lines[0].strip().isdigit():
        count, start = int(lines[0].strip()[:9]), 2
    nuclei: _Sites = []
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip():
            continue
        fields = line.split()
        try:
            symbol, x, y, z = fields[0], float(fields[1]), float(fields[2]), float(fields[3])
            if "_" in line:
                raise ValueError
        except (IndexError, ValueError):
            raise InvalidSpec.at(
                "$.molecule.xyz", f"line {number}: expected 'symbol x y z', got {line.strip()[:60]!r}"
            ) from None
        nuclei.append((symbol, (x, y, z)))
    if not nuclei or len(nuclei) > MAX_ATOMS:
        raise InvalidSpec.at("$.molecule.xyz", f"needs 1 to {MAX_ATOMS} atoms, got {len(nuclei)}")
    if count is not None and count != len(nuclei):
        raise InvalidSpec.at("$.molecule.xyz", f"line 1 announces {count} atoms, {len(nuclei)} follow")
    return nuclei


@lru_cache(maxsize=256)
def _embed(smiles: str, charge: int) -> _Sites:
    """A guessed geometry: RDKit's ETKDGv3 with seed 42, then MMFF94 where it has parameters."""
    from rdkit import Chem, RDLogger  # untyped in places
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # missing in the stubs
    path = "$.molecule.smiles"
    flat = Chem.MolFromSmiles(smiles)
    if flat is None or flat.GetNumAtoms() == 0:
        words = (
            f"not a SMILES string that RDKit can read: {smiles[:60]!r}; a molecule's name must be one of the library's"
        )
        raise InvalidSpec.at(path, words)
    found = Chem.GetFormalCharge(flat)
    if found != charge:
        raise InvalidSpec.at("$.molecule.charge", f"the SMILES string has charge {found}; charge says {charge}")
    whole = Chem.AddHs(flat)
    if whole.GetNumAtoms() > MAX_ATOMS:
        raise InvalidSpec.at(path, f"at most {MAX_ATOMS} atoms are allowed, got {whole.GetNumAtoms()}")
    parameters: Any = rdDistGeom.ETKDGv3()  # the stubs give its fields a wrong type
    parameters.randomSeed = SMILES_SEED
    parameters.maxIterations = EMBEDDING_ATTEMPTS
    if rdDistGeom.EmbedMolecule(whole, parameters) != 0:
        raise InvalidSpec.at(path, "no geometry could be made for this SMILES string; give coordinates")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(whole):
        rdForceFieldHelpers.MMFFOptimizeMolecule(whole)
    positions = whole.GetConformer().GetPositions().tolist()
    return [(atom.GetSymbol(), (x, y, z)) for atom, (x, y, z) in zip(whole.GetAtoms(), positions, strict=True)]
