"""Molecules with experimental geometries, each with its source and the internal coordinates it was built from.

Bond lengths in angstrom, angles in degrees. Diatomics: r_e of Huber and Herzberg, Constants of Diatomic Molecules
(1979). Others: the experimental structures that NIST's CCCBDB (database 101) lists.
"""

from __future__ import annotations

import difflib
import math
from functools import cache

import msgspec

from kanad_solvers.errors import InvalidSpec
from kanad_solvers.result import Coordinates, Vector

_HUBER = "K. P. Huber and G. Herzberg, Constants of Diatomic Molecules (1979), r_e"
_CCCBDB = "NIST Computational Chemistry Comparison and Benchmark Database 101, experimental geometry"


class LibraryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One molecule of the library."""

    name: str
    title: str
    source: str
    geometry: Coordinates
    aliases: tuple[str, ...] = ()
    charge: int = 0
    multiplicity: int = 1
    parameters: dict[str, float] = {}

    @property
    def formula(self) -> str:
        """In Hill order, as `molecule.parse` gives it."""
        from kanad_solvers.molecule import formula

        return formula(list(self.geometry.symbols))


def get(name: str) -> LibraryEntry:
    """The entry of a name or alias, in any case.

    Raises:
        InvalidSpec: there is none; names the nearest one.
    """
    entries = _by_name()
    found = entries.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower()[:50], entries, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; GET /api/v1/molecules lists them"
        raise InvalidSpec.at("$.molecule.library", f"the library has no {name[:50]!r}{hint}")
    return found


@cache
def all_molecules() -> tuple[LibraryEntry, ...]:
    """Every entry."""
    return (
        _diatomic("H2", "hydrogen", "H", "H", 0.7414),
        _diatomic("LiH", "lithium hydride", "Li", "H", 1.5949),
        _diatomic("BH", "boron monohydride", "B", "H", 1.2324),
        _diatomic("OH", "hydroxyl radical", "O", "H", 0.9697, multiplicity=2),
        _diatomic("HF", "hydrogen fluoride", "H", "F", 0.9168),
        _diatomic("HCl", "hydrogen chloride", "H", "Cl", 1.2746),
        _diatomic("N2", "nitrogen", "N", "N", 1.0977),
        _diatomic("CO", "carbon monoxide", "C", "O", 1.1283),
        _diatomic("NO", "nitric oxide", "N", "O", 1.1508, multiplicity=2),
        _diatomic("O2", "oxygen", "O", "O", 1.2075, multiplicity=3),
        _diatomic("F2", "fluorine", "F", "F", 1.4119),
        _diatomic("Cl2", "chlorine", "Cl", "Cl", 1.9879),
        _bent("H2O", "water", "O", "H", 0.9578, 104.478, ("water",)),
        _bent("H2S", "hydrogen sulfide", "S", "H", 1.3356, 92.12, ()),
        _bent("SO2", "sulfur dioxide", "S", "O", 1.4308, 119.329, ()),
        _bent("O3", "ozone", "O", "O", 1.278, 116.8, ("ozone",)),
        _linear("CO2", "carbon dioxide", ("O", "C", "O"), (1.162, 1.162)),
        _linear("HCN", "hydrogen cyanide", ("H", "C", "N"), (1.064, 1.156)),
        _linear("N2O", "nitrous oxide", ("N", "N", "O"), (1.126, 1.186)),
        _linear("C2H2", "acetylene", ("H", "C", "C", "H"), (1.063, 1.203, 1.063), ("acetylene",)),
        _pyramid("NH3", "ammonia", "N", "H", 1.0116, 106.7, ("ammonia",)),
        _methane(),
        _planar("CH2O", "formaldehyde", ("C", "O", 1.205), "H", 1.111, 121.9, ("formaldehyde",)),
        _ethylene(),
    )


@cache
def _by_name() -> dict[str, LibraryEntry]:
    return {name.lower(): entry for entry in all_molecules() for name in (entry.name, entry.title, *entry.aliases)}


def _at(*nuclei: tuple[str, Vector]) -> Coordinates:
    return Coordinates(
        symbols=tuple(symbol for symbol, _ in nuclei),
        coordinates_angstrom=tuple(
            (round(x, 8) + 0.0, round(y, 8) + 0.0, round(z, 8) + 0.0) for _, (x, y, z) in nuclei
        ),
    )


def _diatomic(name: str, title: str, a: str, b: str, r: float, multiplicity: int = 1) -> LibraryEntry:
    return LibraryEntry(
        name=name, title=title,
        source=_HUBER, multiplicity=multiplicity, parameters={"r(0,1)": r},
        geometry=_at((a, (0.0, 0.0, 0.0)), (b, (0.0, 0.0, r))),
    )  # fmt: skip


def _bent(
    name: str, title: str, middle: str, end: str, r: float, angle: float, aliases: tuple[str, ...]
) -> LibraryEntry:
    half = math.radians(angle) / 2
    y, z = r * math.sin(half), r * math.cos(half)
    return LibraryEntry(
        name=name, title=title, source=_CCCBDB, aliases=aliases,
        parameters={"r(0,1)": r, "r(0,2)": r, "a(1,0,2)": angle},
        geometry=_at((middle, (0.0, 0.0, 0.0)), (end, (0.0, y, z)), (end, (0.0, -y, z))),
    )  # fmt: skip


def _linear(
    name: str, title: str, symbols: tuple[str, ...], bonds: tuple[float, ...], aliases: tuple[str, ...] = ()
) -> LibraryEntry:
    places = [sum(bonds[:index]) for index in range(len(symbols))]
    return LibraryEntry(
        name=name, title=title, source=_CCCBDB, aliases=aliases,
        parameters={f"r({index},{index + 1})": bond for index, bond in enumerate(bonds)},
        geometry=_at(*((symbol, (0.0, 0.0, z)) for symbol, z in zip(symbols, places, strict=True))),
    )  # fmt: skip


def _pyramid(
    name: str, title: str, top: str, base: str, r: float, angle: float, aliases: tuple[str, ...]
) -> LibraryEntry:
    """Three equal bonds of length `r`, each pair at `angle`."""
    radius = 2 * r * math.sin(math.radians(angle) / 2) / math.sqrt(3)
    height = -math.sqrt(r**2 - radius**2)
    turns = [2 * math.pi * k / 3 for k in range(3)]
    return LibraryEntry(
        name=name, title=title, source=_CCCBDB, aliases=aliases,
        parameters={"r(0,1)": r, "r(0,2)": r, "r(0,3)": r, "a(1,0,2)": angle},
        geometry=_at(
            (top, (0.0, 0.0, 0.0)),
            *((base, (radius * math.cos(turn), radius * math.sin(turn), height)) for turn in turns),
        ),
    )  # fmt: skip


def _methane() -> LibraryEntry:
    r = 1.087
    edge = r / math.sqrt(3)
    corners = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    return LibraryEntry(
        name="CH4", title="methane", source=_CCCBDB,
        parameters={f"r(0,{index})": r for index in range(1, 5)},
        geometry=_at(("C", (0.0, 0.0, 0.0)), *(("H", (edge * x, edge * y, edge * z)) for x, y, z in corners)),
    )  # fmt: skip


def _planar(
    name: str, title: str, bond: tuple[str, str, float], end: str, r: float, angle: float,
    aliases: tuple[str, ...],
) -> LibraryEntry:  # fmt: skip
    """X=Y along z and two `end` atoms at X, each at `angle` to the bond."""
    x, y, length = bond
    side, back = r * math.sin(math.radians(angle)), r * math.cos(math.radians(angle))
    return LibraryEntry(
        name=name, title=title, source=_CCCBDB, aliases=aliases,
        parameters={"r(0,1)": length, "r(0,2)": r, "r(0,3)": r, "a(1,0,2)": angle},
        geometry=_at(
            (x, (0.0, 0.0, 0.0)), (y, (0.0, 0.0, length)), (end, (0.0, side, back)), (end, (0.0, -side, back))
        ),
    )  # fmt: skip


def _ethylene() -> LibraryEntry:
    cc, ch, angle = 1.339, 1.086, 121.2
    side, back = ch * math.sin(math.radians(angle)), ch * math.cos(math.radians(angle))
    return LibraryEntry(
        name="C2H4", title="ethylene", source=_CCCBDB, aliases=("ethene",),
        parameters={"r(0,1)": cc, "r(0,2)": ch, "a(1,0,2)": angle},
        geometry=_at(
            ("C", (0.0, 0.0, 0.0)), ("C", (0.0, 0.0, cc)),
            ("H", (0.0, side, back)), ("H", (0.0, -side, back)),
            ("H", (0.0, side, cc - back)), ("H", (0.0, -side, cc - back)),
        ),
    )  # fmt: skip
