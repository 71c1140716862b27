"""Solvents by name, with the static permittivity at 298 K of the Minnesota solvent descriptor database."""

from __future__ import annotations

from functools import cache

PERMITTIVITY = 5  # place in PySCF's rows: n, n25, alpha, beta, gamma, epsilon, phi, psi
WATER = 78.3553  # the value that most programs use; the database rounds it


@cache
def permittivities() -> dict[str, float]:
    """Relative permittivity of every solvent on offer, by name."""
    from pyscf.solvent import smd

    named = {name: float(row[PERMITTIVITY]) for name, row in smd.solvent_db.items() if name}
    return dict(sorted({**named, "water": WATER}.items()))
