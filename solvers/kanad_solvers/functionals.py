"""The density functionals on offer: names that give what they promise, and the dispersion fitted for each.

A name of a functional with built-in dispersion is offered only where PySCF includes that term (the VV10 kernel of
the -V functionals); D3(BJ) and D4 are an option of their own, offered where parameters were published.
"""

from __future__ import annotations

import msgspec


class Functional(msgspec.Struct, frozen=True, kw_only=True):
    """One functional: LibXC's name for it, its family, and the dispersion corrections with parameters for it."""

    xc: str
    family: str
    dispersions: tuple[str, ...] = ()
    has_vv10: bool = False


_BOTH = ("d3bj", "d4")


def _of(family: str, dispersions: tuple[str, ...], *names: str) -> dict[str, Functional]:
    return {name: Functional(xc=name, family=family, dispersions=dispersions) for name in names}


FUNCTIONALS: dict[str, Functional] = {
    "svwn": Functional(xc="slater,vwn5", family="lda"),
    **_of("gga", _BOTH, "pbe", "blyp", "bp86", "revpbe", "rpbe", "olyp"),
    **_of("meta-gga", _BOTH, "tpss", "revtpss", "scan", "r2scan"),
    "m06-l": Functional(xc="m06l", family="meta-gga", dispersions=("d4",)),
    "b97m-v": Functional(xc="b97m-v", family="meta-gga", has_vv10=True),
    **_of(
        "hybrid", _BOTH, "b3lyp", "b3pw91", "pbe0", "x3lyp", "o3lyp", "tpssh", "r2scan0", "pw6b95", "mpw1pw", "b1b95"
    ),
    "b3lyp5": Functional(xc="b3lyp5", family="hybrid", dispersions=("d3bj",)),
    "bhandhlyp": Functional(xc="bhandhlyp", family="hybrid", dispersions=("d3bj",)),
    "m06": Functional(xc="m06", family="hybrid", dispersions=("d4",)),
    **_of("hybrid", (), "m06-2x", "mn15", "scan0"),
    **_of("range-separated hybrid", _BOTH, "cam-b3lyp", "hse06"),
    **_of("range-separated hybrid", (), "wb97x", "lrc-wpbeh"),
    "wb97x-v": Functional(xc="wb97x-v", family="range-separated hybrid", has_vv10=True),
    "wb97m-v": Functional(xc="wb97m-v", family="range-separated hybrid", has_vv10=True),
}


def canonical(name: str) -> str | None:
    """The name in FUNCTIONALS for what a person wrote, in any case; None if not on offer."""
    lowered = name.lower()
    return lowered if lowered in FUNCTIONALS else None
