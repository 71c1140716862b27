"""The orbitals of a finished run, kept so that files can be made of them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from kanad_solvers.prepare import Parsed
from kanad_solvers.spec import HartreeFock, Molecule, Spec

if TYPE_CHECKING:
    from kanad_solvers.active_space import Window
    from kanad_solvers.properties import Array


class Wavefunction(msgspec.Struct, frozen=True, kw_only=True):
    """Orbitals of one set (restricted) or of alpha and beta, little-endian float64 in C order.

    Attributes:
        molecule: nuclei, charge and multiplicity at which the orbitals were found.
        basis: name on the list of `basis.BASES`.
        cartesian: whether d and f functions are cartesian.
        sets: 1 for restricted orbitals, 2 for unrestricted ones.
        functions: basis functions, nao.
        orbitals: orbitals of each set, nmo.
        coefficients: shape (sets, nao, nmo).
        energies: shape (sets, nmo), hartree.
        occupations: shape (sets, nmo).
        core: doubly occupied orbitals below the active ones; None where there is no window.
        active: active orbitals.
        electrons: active (alpha, beta) electrons.
        qasm: OpenQASM 3 of the circuit, where there was one.
    """

    molecule: Parsed
    basis: str
    cartesian: bool
    sets: Literal[1, 2]
    functions: int
    orbitals: int
    coefficients: bytes
    energies: bytes
    occupations: bytes
    core: int | None = None
    active: int | None = None
    electrons: tuple[int, int] | None = None
    qasm: str | None = None


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Wavefunction).decode


def capture(field: Any, spec: Spec, molecule: Parsed, window: Window | None, qasm: str | None) -> Wavefunction:
    """What is worth keeping of a finished PySCF object with `mo_coeff`, `mo_energy` and `mo_occ`."""
    import numpy as np

    coefficients = np.asarray(field.mo_coeff if window is None else window.orbitals, dtype="<f8")
    energies, occupations = (np.asarray(part, dtype="<f8") for part in (field.mo_energy, field.mo_occ))
    if window is not None:
        order = np.argsort(-occupations, kind="stable")  # the order in which a window sorts its orbitals
        energies, occupations = energies[order], occupations[order]
    stacked = coefficients if coefficients.ndim == 3 else coefficients[None]
    return Wavefunction(
        molecule=molecule,
        basis=spec.basis,
        cartesian=spec.cartesian,
        sets=2 if coefficients.ndim == 3 else 1,
        functions=stacked.shape[1],
        orbitals=stacked.shape[2],
        coefficients=stacked.tobytes(),
        energies=energies.tobytes(),
        occupations=occupations.tobytes(),
        core=None if window is None else window.ncore,
        active=None if window is None else window.norb,
        electrons=None if window is None else window.nelec,
        qasm=qasm,
    )


def arrays(wavefunction: Wavefunction) -> tuple[Array, Array, Array]:
    """Coefficients (sets, nao, nmo), energies (sets, nmo) and occupations (sets, nmo)."""
    import numpy as np

    sets, nao, nmo = wavefunction.sets, wavefunction.functions, wavefunction.orbitals
    return (
        np.frombuffer(wavefunction.coefficients, "<f8").reshape(sets, nao, nmo),
        np.frombuffer(wavefunction.energies, "<f8").reshape(sets, nmo),
        np.frombuffer(wavefunction.occupations, "<f8").reshape(sets, nmo),
    )


def molecule_of(wavefunction: Wavefunction) -> Any:
    """The PySCF molecule that the orbitals belong to."""
    from kanad_solvers import mole

    spec = Spec(
        molecule=Molecule(library="H2"),  # the nuclei are those of `wavefunction.molecule`
        method=HartreeFock(),
        basis=wavefunction.basis,
        cartesian=wavefunction.cartesian,
    )
    return mole.build(spec, wavefunction.molecule)
