"""What the points of a path say of the next one."""

from __future__ import annotations

import numpy as np
from pyscf import gto

from kanad_solvers import frames
from kanad_solvers.extrapolation import Path
from kanad_solvers.memory import Memory
from kanad_solvers.properties import Array


def foretold(values: list[float], amplitudes: list[float], new: float) -> float:
    """What `Path` puts where the solver starts, after points of one amplitude in the same orbitals."""
    path, memory = Path(), Memory()
    mol = gto.M(atom="H 0 0 0; H 0 0 0.8", basis="sto-3g", verbose=0)
    field = mol.RHF().run()
    frame: Array = frames.frame(mol, field.mo_coeff)
    for value, amplitude in zip(values, amplitudes, strict=True):
        memory.keep("ccsd", t1=np.zeros((1, 1)), t2=np.full((1, 1, 1, 1), amplitude), **{frames.FRAME: frame})
        path.note(value, field, memory)
    path.prepare(new, memory)
    kept = memory.recall("ccsd")
    assert kept is not None
    return float(kept["t2"][0, 0, 0, 0])


def test_smooth_amplitudes_are_continued() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 1.4]
    assert abs(foretold(values, [x**3 for x in values], 1.5) - 1.5**3) < 1e-10


def test_points_behind_a_jump_foretell_nothing() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    jumped = [x**2 if x < 1.25 else 7 + x for x in values]
    assert abs(foretold(values, jumped, 1.6) - 8.6) < 1e-10
