"""The basis sets on offer: names from an allow-list, parsed once and kept.

Parsing basis text is what a plain PySCF script spends most of a small run on. What `load` returns is shared:
callers must not change it (PySCF's `make_env` does not).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


class BasisInfo(msgspec.Struct, frozen=True):
    """One basis set: PySCF's name for it, and whether its family is published with cartesian d functions."""

    pyscf_name: str
    has_ecp: bool = False
    is_cartesian_by_custom: bool = False


_PLAIN = (
    "sto-3g", "sto-6g", "3-21g", "6-31g", "6-311g", "6-311g*", "6-311g**", "6-311+g**", "6-311++g**",
    "cc-pvdz", "cc-pvtz", "cc-pvqz", "cc-pv5z", "aug-cc-pvdz", "aug-cc-pvtz", "aug-cc-pvqz",
    "cc-pcvdz", "cc-pcvtz", "pc-1", "pc-2", "minao",
)  # fmt: skip
_CARTESIAN = ("6-31g*", "6-31g**", "6-31+g*", "6-31+g**", "6-31++g**")
_WITH_ECP = (
    "def2-svp", "def2-svpd", "def2-tzvp", "def2-tzvpp", "def2-tzvpd", "def2-qzvp", "def2-qzvpp", "lanl2dz",
    "crenbl",  # the only one here that has the lanthanides
)  # fmt: skip

BASES: dict[str, BasisInfo] = (
    {name: BasisInfo(name) for name in _PLAIN}
    | {name: BasisInfo(name, is_cartesian_by_custom=True) for name in _CARTESIAN}
    | {name: BasisInfo(name, has_ecp=True) for name in _WITH_ECP}
)
_STARS = {"(d,p)": "**", "(d)": "*"}


def canonical(name: str) -> str | None:
    """The name in BASES for what a person wrote (any case, ``6-31g(d)`` for ``6-31g*``); None if not on offer."""
    lowered = name.lower()
    for suffix, stars in _STARS.items():
        if lowered.endswith(suffix):
            lowered = lowered.removesuffix(suffix) + stars
            break
    return lowered if lowered in BASES else None


@cache
def load(name: str, symbol: str) -> list[Any] | None:
    """The functions of an element in PySCF's own format; None where the basis does not cover it."""
    import warnings

    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(gto.basis.load(BASES[name].pyscf_name, symbol))
    except (RuntimeError, KeyError):  # PySCF's ways to say that there is none
        return None


@cache
def load_ecp(name: str, symbol: str) -> list[Any] | None:
    """The effective core potential that belongs to the basis; None where the element has none."""
    if not BASES[name].has_ecp:
        return None
    import warnings

    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gto.basis.load_ecp(BASES[name].pyscf_name, symbol) or None
    except (RuntimeError, KeyError):
        return None


@cache
def size(name: str, symbol: str, cartesian: bool) -> int | None:
    """How many functions an element has; None where the basis does not cover it."""
    shells = load(name, symbol)
    if not shells:
        return None
    total = 0
    for shell in shells:
        angular = shell[0]
        first = next(part for part in shell[1:] if isinstance(part, list | tuple))
        per_contraction = (angular + 1) * (angular + 2) // 2 if cartesian else 2 * angular + 1
        total += per_contraction * (len(first) - 1)
    return total


def ecp_electrons(name: str, symbol: str) -> int:
    """Electrons that the potential stands for."""
    potential = load_ecp(name, symbol)
    return int(potential[0]) if potential else 0
