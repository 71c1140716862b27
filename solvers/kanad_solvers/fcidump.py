"""A Hamiltonian from the text of an FCIDUMP: numbers are read, nothing is evaluated, no file is opened.

Knowles and Handy, Comput. Phys. Commun. 54, 75 (1989): a namelist, then lines ``value i j k l`` with orbitals from 1:
(ij|kl) in chemists' notation, one-body terms ``i j 0 0``, orbital energies ``i 0 0 0``, the constant ``0 0 0 0``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanad_solvers.errors import InvalidSpec

PATH = "$.molecule.fcidump"
MAX_ORBITALS = 62  # a string of one spin must fit into a signed 64-bit integer
LARGEST_HARTREE = 1e6
SAME = 1e-8  # hartree; how far two values of one integral may be apart
HEADER_CHARACTERS = 10_000
_HEADER = re.compile(r"\s*[&$]FCI\b(.*?)(?:[&$]END\b|^\s*/|/\s*$)", re.IGNORECASE | re.DOTALL | re.MULTILINE | re.ASCII)
_ENTRY = re.compile(
    r"([A-Z]\w*)(?:\s*\([^()]*\))?\s*=\s*([^=]*?)(?=\s*,?\s*[A-Z]\w*(?:\s*\([^()]*\))?\s*=|\s*,?\s*\Z)", re.I | re.A
)
_KNOWN = ("NORB", "NELEC", "MS2", "ORBSYM", "ISYM", "IUHF", "UHF")


@dataclass(frozen=True, kw_only=True)
class Hamiltonian:
    """A real, spin-free Hamiltonian over orthonormal orbitals.

    Attributes:
        norb: spatial orbitals.
        electrons: electrons of both spins.
        unpaired: alpha minus beta electrons that the file names (MS2).
        constant: what is added to every energy, hartree.
        one_body: shape (norb, norb), hartree.
        two_body: (pq|rs) with their eightfold symmetry packed, as PySCF has them, hartree.
        notes: what of the file is not used.
    """

    norb: int
    electrons: int
    unpaired: int
    constant: float
    one_body: NDArray[np.float64]
    two_body: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def read(text: str) -> Hamiltonian:
    """The Hamiltonian that the text describes.

    Raises:
        InvalidSpec: the first rule that it breaks, with the line.
    """
    found = _HEADER.match(text[:HEADER_CHARACTERS])
    if found is None:
        raise _wrong(f"begins with a namelist &FCI NORB=..,NELEC=.., &END; got {text.strip()[:40]!r}")
    values = {name.upper(): value for name, value in _ENTRY.findall(found[1])}
    norb = _count(values, "NORB", 1, MAX_ORBITALS)
    electrons = _count(values, "NELEC", 1, 2 * norb)
    unpaired = _count(values, "MS2", 0, norb) if "MS2" in values else electrons % 2
    if (electrons - unpaired) % 2 or unpaired > min(electrons, 2 * norb - electrons):
        raise _wrong(f"NELEC={electrons} and MS2={unpaired} do not go together in NORB={norb} orbitals")
    _refuse_unrestricted(values)
    reader = _Integrals(norb)
    first = text.count("\n", 0, found.end()) + 1
    for number, line in enumerate(text[found.end() :].split("\n"), first):
        if line.strip():
            reader.take(number, line)
    return reader.hamiltonian(electrons, unpaired, _notes(values))


def _wrong(message: str) -> InvalidSpec:
    return InvalidSpec.at(PATH, message)


def _count(values: dict[str, str], name: str, low: int, high: int) -> int:
    text = values.get(name, "").strip()
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not low <= int(text) <= high:
        raise _wrong(f"{name} is a whole number from {low} to {high}; got {text[:40]!r}")
    return int(text)


def _refuse_unrestricted(values: dict[str, str]) -> None:
    for name in ("IUHF", "UHF"):
        text = values.get(name, "0").strip().strip(".").upper()
        if text not in ("0", "F", "FALSE"):
            raise _wrong(f"orbitals must be the same for both spins; got {name}={values[name][:20]}")


def _notes(values: dict[str, str]) -> tuple[str, ...]:
    notes = []
    symmetry = values.get("ISYM", "1").strip()
    if symmetry not in ("0", "1"):
        notes.append(f"ISYM={symmetry[:20]} of the FCIDUMP is not used: states of every symmetry are sought")
    others = sorted(set(values) - set(_KNOWN))
    if others:
        notes.append(f"not used of the FCIDUMP: {', '.join(others)[:200]}")
    return tuple(notes)


class _Integrals:
    """Lines become arrays; a value that comes twice must be the same."""

    def __init__(self, norb: int) -> None:
        self._norb = norb
        pairs = norb * (norb + 1) // 2
        self._constant = np.full(1, np.nan)
        self._one_body = np.full(pairs, np.nan)
        self._two_body = np.full(pairs * (pairs + 1) // 2, np.nan)

    def take(self, number: int, line: str) -> None:
        """One line.

        Raises:
            InvalidSpec: it is not ``value i j k l`` with orbitals that exist, or contradicts an earlier one.
        """
        fields = line.split()
        try:
            value = float(fields[0].replace("D", "E").replace("d", "e"))
            i, j, k, l = map(int, fields[1:])  # noqa: E741  # the format's own names
            if "_" in line or not line.isascii():
                raise ValueError
        except (ValueError, IndexError):
            raise _wrong(f"line {number}: expected a real value and four orbitals, got {line.strip()[:60]!r}") from None
        if not (math.isfinite(value) and abs(value) <= LARGEST_HARTREE):
            raise _wrong(
                f"line {number}: values are finite and within {LARGEST_HARTREE:g} hartree; got {fields[0][:40]}"
            )
        if not (min(i, j, k, l) >= 0 and max(i, j, k, l) <= self._norb):
            raise _wrong(f"line {number}: orbitals are 1 to {self._norb}; got {i} {j} {k} {l}")
        self._put(number, value, i, j, k, l)

    def _put(self, number: int, value: float, i: int, j: int, k: int, l: int) -> None:  # noqa: E741
        if min(i, j, k, l) > 0:
            target, place = self._two_body, _pair(_pair(i - 1, j - 1), _pair(k - 1, l - 1))
        elif k == l == 0 and min(i, j) > 0:
            target, place = self._one_body, _pair(i - 1, j - 1)
        elif i == j == k == l == 0:
            target, place = self._constant, 0
        elif j == k == l == 0:
            return  # an orbital energy: it follows from the rest
        else:
            raise _wrong(f"line {number}: {i} {j} {k} {l} names no integral")
        known = target[place]
        if abs(known - value) > SAME:  # never true of NaN
            message = f"{value!r} contradicts {float(known)!r}, which an earlier line gave it or one that equals it"
            raise _wrong(f"line {number}: {message}; orbitals and integrals must be real")
        target[place] = value

    def hamiltonian(self, electrons: int, unpaired: int, notes: tuple[str, ...]) -> Hamiltonian:
        """What was read; integrals that no line named are zero.

        Raises:
            InvalidSpec: there was none.
        """
        if np.isnan(self._one_body).all() and np.isnan(self._two_body).all():
            raise _wrong("has no integrals behind its namelist")
        one_body = np.zeros((self._norb, self._norb))
        lower = np.tril_indices(self._norb)
        one_body[lower] = np.nan_to_num(self._one_body)
        return Hamiltonian(
            norb=self._norb,
            electrons=electrons,
            unpaired=unpaired,
            constant=float(np.nan_to_num(self._constant)[0]),
            one_body=one_body + np.tril(one_body, -1).T,
            two_body=np.nan_to_num(self._two_body),
            notes=notes,
        )


def _pair(p: int, q: int) -> int:
    """The place of a symmetric pair among all pairs."""
    return p * (p + 1) // 2 + q if p >= q else q * (q + 1) // 2 + p
