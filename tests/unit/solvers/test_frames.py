"""Amplitudes turned into other orbitals of the same molecule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyscf import cc, gto, scf

from kanad_solvers import frames


@pytest.fixture(scope="module")
def field() -> Any:
    return scf.RHF(gto.M(atom="N 0 0 0; N 0 0 1.1", basis="6-31g", verbose=0)).run(conv_tol=1e-11)


def shuffled(coefficients: Any, nocc: int) -> Any:
    """The same occupied and empty spaces in other orbitals: rotated at random."""
    rng = np.random.default_rng(3)
    other = coefficients.copy()
    for part in (slice(0, nocc), slice(nocc, None)):
        size = other[:, part].shape[1]
        other[:, part] = other[:, part] @ np.linalg.qr(rng.normal(size=(size, size)))[0]
    return other


def test_turned_amplitudes_give_the_same_energy(field: Any) -> None:
    solver = cc.CCSD(field).run(conv_tol=1e-10)
    other = shuffled(field.mo_coeff, 7)
    kept = {"t1": solver.t1, "t2": solver.t2, "frame": frames.frame(field.mol, field.mo_coeff)}
    turned = frames.turned(kept, frames.frame(field.mol, other))
    there = cc.CCSD(field, mo_coeff=other)
    assert there.energy(turned["t1"], turned["t2"], there.ao2mo(other)) == pytest.approx(solver.e_corr, abs=1e-9)


def test_turned_amplitudes_of_two_spins_give_the_same_energy(field: Any) -> None:
    both = field.to_uhf()
    solver = cc.UCCSD(both).run(conv_tol=1e-10)
    names = ("t1a", "t1b", "t2aa", "t2ab", "t2bb")
    kept = dict(zip(names, (*solver.t1, *solver.t2), strict=True)) | {
        "frame": frames.frame(field.mol, list(both.mo_coeff))
    }
    other = [shuffled(part, 7) for part in both.mo_coeff]
    turned = frames.turned(kept, frames.frame(field.mol, other))
    there = cc.UCCSD(both, mo_coeff=np.array(other))
    t1, t2 = (turned["t1a"], turned["t1b"]), (turned["t2aa"], turned["t2ab"], turned["t2bb"])
    assert there.energy(t1, t2, there.ao2mo(np.array(other))) == pytest.approx(solver.e_corr, abs=1e-9)
