"""S^2 of EOM-CCSD states on an unrestricted reference.

The right eigenvector R = r0 + R1 + R2 makes the state R exp(T) |reference>. Its part of at most double excitations is
a CISD vector, and S^2 is the expectation value in that vector, normalised. What is left out are triple and higher
excitations (R1 T2 and R2 T1 first), so that a pure doublet may read 0.76 instead of 0.75; with two electrons nothing is
left out. The ground state is the case R = 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pyscf.cc import uccsd_rdm
from pyscf.ci import ucisd
from pyscf.fci.spin_op import spin_square_general

DENSITIES = 6
"""Arrays of nmo^4 numbers at the peak (four were seen for OH/cc-pVTZ); picked with some room."""


def memory_mb(solver: Any) -> float:
    """What one call needs beyond the amplitudes, for a UCCSD object."""
    return float(DENSITIES * max(solver.nmo) ** 4 * 8 / 2**20)


def of_ground(solver: Any) -> float:
    """S^2 of the state exp(T) |reference> of a UCCSD object."""
    zeros = [np.zeros_like(part) for part in (*solver.t1, *solver.t2)]
    return _expectation(solver, 1.0, tuple(zeros[:2]), tuple(zeros[2:]))


def of_root(equations: Any, intermediates: Any, vector: np.ndarray, excitation: float) -> float:
    """S^2 of one root.

    Args:
        equations: PySCF's `EOMEESpinKeep` on a UCCSD object.
        intermediates: the intermediates that the root was solved with.
        vector: the root's right eigenvector.
        excitation: its eigenvalue in hartree, not zero.
    """
    solver = equations._cc
    r1, r2 = equations.vector_to_amplitudes(vector)
    return _expectation(solver, _reference_weight(intermediates, r1, r2) / excitation, r1, r2)


def _expectation(solver: Any, r0: float, r1: Any, r2: Any) -> float:
    """<S^2> in the normalised CISD part of (r0 + R1 + R2) exp(T) |reference>."""
    c1, c2 = _singles_and_doubles(solver, r0, r1, r2)
    civec = ucisd.amplitudes_to_cisdvec(r0, c1, c2)
    civec /= np.linalg.norm(civec)
    sizes = (solver.nmo, solver.nocc)
    one = ucisd._gamma1_intermediates(solver, civec, *sizes)
    two = ucisd._gamma2_intermediates(solver, civec, *sizes)
    densities = uccsd_rdm._make_rdm1(solver, one, with_frozen=True)
    pairs = uccsd_rdm._make_rdm2(solver, one, two, with_dm1=True, with_frozen=True)
    value, _ = spin_square_general(*densities, *pairs, solver.mo_coeff, solver._scf.get_ovlp())
    return float(value)


def _reference_weight(intermediates: Any, r1: Any, r2: Any) -> float:
    """<reference| exp(-T) H exp(T) R> without r0: r0 times the excitation energy."""
    eris = intermediates.eris
    r1a, r1b = r1
    r2aa, r2ab, r2bb = r2
    weight = np.vdot(intermediates.Fova, r1a) + np.vdot(intermediates.Fovb, r1b)
    weight += 0.5 * np.einsum("iajb,ijab->", np.asarray(eris.ovov), r2aa)
    weight += 0.5 * np.einsum("iajb,ijab->", np.asarray(eris.OVOV), r2bb)
    weight += np.einsum("iajb,ijab->", np.asarray(eris.ovOV), r2ab)
    return float(weight)


def _singles_and_doubles(solver: Any, r0: float, r1: Any, r2: Any) -> tuple[Any, Any]:
    """(C1, C2) of R exp(T): C1 = R1 + r0 T1; C2 = R2 + R1 T1 + r0 (T2 + T1 T1 / 2), antisymmetrised."""
    t1a, t1b = solver.t1
    t2aa, t2ab, t2bb = solver.t2
    (r1a, r1b), (r2aa, r2ab, r2bb) = r1, r2
    c1 = (r1a + r0 * t1a, r1b + r0 * t1b)
    c2aa = r2aa + r0 * t2aa + _wedge(r1a + 0.5 * r0 * t1a, t1a)
    c2bb = r2bb + r0 * t2bb + _wedge(r1b + 0.5 * r0 * t1b, t1b)
    c2ab = r2ab + r0 * t2ab + np.einsum("ia,jb->ijab", r1a, t1b) + np.einsum("ia,jb->ijab", t1a, r1b)
    c2ab += r0 * np.einsum("ia,jb->ijab", t1a, t1b)
    return c1, (c2aa, c2ab, c2bb)


def _wedge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x_i^a y_j^b + x_j^b y_i^a - x_i^b y_j^a - x_j^a y_i^b; for x = y/2 the doubles of (Y1)^2 / 2."""
    product = np.einsum("ia,jb->ijab", x, y)
    product = product - product.transpose(0, 1, 3, 2)
    wedge: np.ndarray = product + product.transpose(1, 0, 3, 2)
    return wedge
