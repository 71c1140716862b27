"""Every element to radon has a basis, with its effective core where the basis needs one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers import internal, mole
from kanad_solvers.basis import ecp_electrons, load
from kanad_solvers.elements import ATOMIC_NUMBER, SYMBOLS
from kanad_solvers.prepare import prepare
from kanad_solvers.spec import Coordinate, Spec
from tests.unit.solvers.solving import atoms, solve

PBE0 = {"name": "dft", "xc": "pbe0"}


def basis_of(symbol: str) -> str:
    return "def2-svp" if load("def2-svp", symbol) else "crenbl"


def test_the_lanthanides_alone_need_the_other_basis() -> None:
    assert SYMBOLS[-1] == "Rn"
    assert [s for s in SYMBOLS if basis_of(s) == "crenbl"] == list(SYMBOLS[57:71])  # Ce to Lu


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_an_atom_is_built_and_its_core_is_taken(symbol: str) -> None:
    number = ATOMIC_NUMBER[symbol]
    basis = basis_of(symbol)
    spec = msgspec.convert(
        {"molecule": atoms((symbol, 0, 0, 0), multiplicity=1 + number % 2), "basis": basis, "method": {"name": "hf"}},
        Spec,
    )
    ready = prepare(spec)
    mol = mole.build(ready.spec, ready.molecule)
    core = ecp_electrons(basis, symbol)
    assert (core > 0) == (number > 36)
    assert mol.nelectron == number - core
    assert mol.atom_charges().tolist() == [number - core]
    assert bool(mol.has_ecp()) == (core > 0)
    assert mol.nao == ready.estimate.basis_functions


@pytest.mark.parametrize(
    ("symbol", "valence"),
    [("Xe", 26), ("Hg", 20), ("Rn", 26), pytest.param("Yb", 16, marks=pytest.mark.slow)],
)
def test_a_heavy_atom_is_solved_with_its_valence(symbol: str, valence: int) -> None:
    result, _ = solve(atoms((symbol, 0, 0, 0)), {"name": "hf"}, basis=basis_of(symbol))
    assert result.converged
    assert result.orbitals is not None
    assert sum(result.orbitals.occupations) == valence
    assert result.provenance is not None
    assert any(f"electrons of {symbol} are in the effective core" in line for line in result.provenance.conventions)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("molecule", "length", "tolerance"),
    # Experiment: Huber and Herzberg, Constants of Diatomic Molecules (1979)
    [
        (atoms(("Au", 0, 0, 0), ("H", 0, 0, 1.6)), 1.5239, 0.03),
        (atoms(("I", 0, 0, 0), ("H", 0, 0, 1.7)), 1.6092, 0.03),
        (atoms(("I", 0, 0, 0), ("I", 0, 0, 2.8)), 2.666, 0.05),
    ],
    ids=["AuH", "HI", "I2"],
)
def test_bonds_of_heavy_elements_are_as_long_as_measured(
    molecule: dict[str, Any], length: float, tolerance: float
) -> None:
    result, _ = solve(molecule, PBE0, basis="def2-tzvp", task={"name": "optimize"})
    assert result.geometry is not None
    found = internal.measure(np.array(result.geometry.coordinates_angstrom), Coordinate(type="bond", atoms=(0, 1)))
    assert found == pytest.approx(length, abs=tolerance)
