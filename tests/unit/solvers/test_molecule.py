"""Molecules: from what was posted to nuclei, or a refusal with the path of the field."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from kanad_solvers import library
from kanad_solvers.elements import ATOMIC_NUMBER
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.molecule import _embed, _nuclei, parse
from kanad_solvers.prepare import Parsed
from kanad_solvers.spec import Molecule

H2 = [{"symbol": "H", "position_angstrom": [0, 0, z]} for z in (0.0, 0.7414)]


def parsed(**fields: Any) -> Parsed:
    return parse(msgspec.convert(fields, Molecule))


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidSpec) as caught:
        parsed(**fields)
    assert all(error.message for error in caught.value.errors)
    return caught.value.errors[0].path


def test_hydrogen_from_smiles_has_the_published_bond() -> None:
    positions = parsed(smiles="[H][H]").geometry.coordinates_angstrom
    assert math.dist(*positions) == pytest.approx(0.69801888, abs=1e-8)


def test_the_same_smiles_gives_the_same_geometry_and_says_that_it_is_guessed() -> None:
    _embed.cache_clear()
    _nuclei.cache_clear()
    first = parsed(smiles="CCO")
    _embed.cache_clear()
    _nuclei.cache_clear()
    assert parsed(smiles="CCO") == first
    assert first.formula == "C2H6O"
    assert "guessed" in first.warnings[0]


def test_xyz_is_read_with_and_without_its_two_first_lines() -> None:
    rows = "O 0 0 0.1173\nH 0 0.7572 -0.4692\nH 0 -0.7572 -0.4692\n"
    assert parsed(xyz=rows) == parsed(xyz=f"3\nwater\n{rows}")
    assert parsed(xyz=rows).formula == "H2O"


def test_a_charge_takes_electrons() -> None:
    assert parsed(atoms=H2, charge=1, multiplicity=2).electrons == 1
    assert parsed(smiles="[OH-]", charge=-1).electrons == 10


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("$.molecule", {}),
        ("$.molecule", {"atoms": H2, "library": "H2"}),
        ("$.molecule.atoms[1]", {"atoms": [H2[0], {"symbol": "H", "position_angstrom": [0, 0, 0.29]}]}),
        ("$.molecule.atoms[1].symbol", {"atoms": [H2[0], {"symbol": "Q", "position_angstrom": [0, 0, 1]}]}),
        (
            "$.molecule.atoms[1].position_angstrom[0]",
            {"atoms": [H2[0], {"symbol": "H", "position_angstrom": [math.nan, 0, 1]}]},
        ),
        ("$.molecule.multiplicity", {"atoms": H2, "multiplicity": 2}),
        ("$.molecule.multiplicity", {"atoms": H2, "multiplicity": 5}),
        ("$.molecule.charge", {"atoms": H2, "charge": 3}),
        ("$.molecule.smiles", {"smiles": "C1CC"}),
        ("$.molecule.charge", {"smiles": "[OH-]"}),
        ("$.molecule.xyz", {"xyz": "3\n\nH 0 0 0\n"}),
        ("$.molecule.xyz", {"xyz": "H 0 0 nan\n"}),
        ("$.molecule.xyz", {"xyz": "H 0 0 __import__('os')\n"}),
        ("$.molecule.library", {"library": "unobtainium"}),
    ],
)
def test_a_broken_rule_is_told_with_its_path(path: str, fields: dict[str, Any]) -> None:
    assert refused(**fields).startswith(path)


# The library


def test_names_and_aliases_are_unique_and_there_are_enough() -> None:
    names = [name.lower() for entry in library.all_molecules() for name in (entry.name, *entry.aliases)]
    assert len(set(names)) == len(names)
    assert len(library.all_molecules()) >= 20


@pytest.mark.parametrize("entry", library.all_molecules(), ids=lambda entry: entry.name)
def test_coordinates_give_back_the_recorded_bonds_and_angles(entry: library.LibraryEntry) -> None:
    places = entry.geometry.coordinates_angstrom
    assert entry.source
    assert entry.parameters
    for name, value in entry.parameters.items():
        atoms = [int(index) for index in name[2:-1].split(",")]
        if name[0] == "r":
            assert math.dist(places[atoms[0]], places[atoms[1]]) == pytest.approx(value, abs=1e-6)
        else:
            a, apex, b = (places[index] for index in atoms)
            arms = [[x - y for x, y in zip(end, apex, strict=True)] for end in (a, b)]
            cosine = sum(x * y for x, y in zip(*arms, strict=True)) / math.prod(math.hypot(*arm) for arm in arms)
            assert math.degrees(math.acos(cosine)) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("entry", library.all_molecules(), ids=lambda entry: entry.name)
def test_an_entry_parses_to_what_it_says(entry: library.LibraryEntry) -> None:
    found = parsed(library=entry.name.upper())
    assert (found.formula, found.multiplicity) == (entry.formula, entry.multiplicity)
    assert found.electrons == sum(ATOMIC_NUMBER[symbol] for symbol in entry.geometry.symbols) - entry.charge
    assert (found.electrons - found.multiplicity + 1) % 2 == 0
