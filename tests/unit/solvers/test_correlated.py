"""MP2, CCSD and CCSD(T): energies, densities, gradients, diagnostics, and the second start."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from pyscf import cc, gto, mp, scf

from kanad_solvers.memory import Memory
from kanad_solvers.progress import Log
from kanad_solvers.run import run
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import H2, WATER, Reports, atoms, solve

HYDROXYL = atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)
BENT = atoms(("O", 0, 0, 0.12), ("H", 0, 0.76, -0.47), ("H", 0, -0.70, -0.45))
STRETCHED_N2 = atoms(("N", 0, 0, 0), ("N", 0, 0, 2.0))


def plain(molecule: dict[str, Any], basis: str, spin: int = 0) -> Any:
    places = [(atom["symbol"], atom["position_angstrom"]) for atom in molecule["atoms"]]
    mol = gto.M(atom=places, basis=basis, spin=spin, verbose=0)
    return (scf.UHF if spin else scf.RHF)(mol).set(conv_tol=1e-11).run()


@pytest.mark.parametrize("frozen_core", [False, True])
def test_restricted_energies_are_those_of_plain_pyscf(frozen_core: bool) -> None:
    field, frozen = plain(WATER, "6-31g"), 1 if frozen_core else None
    solver = cc.CCSD(field, frozen=frozen).run()
    expected = {
        "mp2": mp.MP2(field, frozen=frozen).run().e_tot,
        "ccsd": solver.e_tot,
        "ccsd(t)": solver.e_tot + solver.ccsd_t(),
    }
    for name, energy in expected.items():
        result, _ = solve(WATER, {"name": name, "frozen_core": frozen_core}, basis="6-31g")
        assert result.energy_hartree == pytest.approx(energy, abs=1e-7), name
        assert result.components["correlation_hartree"] == pytest.approx(energy - field.e_tot, abs=1e-7)


def test_open_shells_stand_on_an_unrestricted_reference() -> None:
    field = plain(HYDROXYL, "6-31g", spin=1)
    solver = cc.UCCSD(field).run()
    result, _ = solve(HYDROXYL, {"name": "ccsd(t)"}, basis="6-31g")
    assert result.energy_hartree == pytest.approx(solver.e_tot + solver.ccsd_t(), abs=2e-7)
    assert result.components["triples_hartree"] < 0
    assert result.reference is not None
    assert result.reference.type == "uhf"


def test_two_electrons_are_exact() -> None:
    ours, _ = solve(H2, {"name": "ccsd"})
    exact, _ = solve(H2, {"name": "fci"})
    assert ours.energy_hartree == pytest.approx(exact.energy_hartree, abs=1e-8)


def test_the_density_is_the_methods_own() -> None:
    found = {
        name: solve(WATER, {"name": name}, basis="6-31g")[0].properties for name in ("hf", "mp2", "ccsd", "ccsd(t)")
    }
    labels = {name: part.density for name, part in found.items() if part is not None}
    assert labels == {"hf": "hf", "mp2": "mp2 (unrelaxed)", "ccsd": "ccsd (unrelaxed)", "ccsd(t)": "ccsd (unrelaxed)"}
    dipoles = {name: np.linalg.norm(part.dipole_debye or 0) for name, part in found.items() if part is not None}
    assert dipoles["ccsd"] < dipoles["hf"]  # correlation lowers water's dipole


@pytest.mark.parametrize(
    ("name", "molecule", "basis"),
    [
        *[(name, BENT, "6-31g") for name in ("mp2", "ccsd", "ccsd(t)")],  # STO-3G would hide wrong triples
        *[(name, HYDROXYL, "sto-3g") for name in ("mp2", "ccsd", "ccsd(t)")],
    ],
)
def test_the_gradient_is_the_slope_of_the_energy(name: str, molecule: dict[str, Any], basis: str) -> None:
    tight = {"conv_tol": 1e-10} if name != "mp2" else {}
    method = {"name": name} | tight
    result, _ = solve(molecule, method, basis=basis, task={"name": "energy", "gradient": True})
    step, ends = 2e-3, []
    for sign in (1, -1):
        moved = msgspec.json.decode(msgspec.json.encode(molecule))
        moved["atoms"][1]["position_angstrom"][2] += sign * step
        ends.append(solve(moved, method, basis=basis)[0].energy_hartree)
    assert result.properties is not None
    gradient = result.properties.gradient_hartree_per_bohr
    assert gradient is not None
    assert gradient[1][2] == pytest.approx((ends[0] - ends[1]) / (2 * step / 0.529177210903), abs=2e-5)


def test_iterations_are_reported_with_their_residual() -> None:
    _, reports = solve(WATER, {"name": "ccsd"})
    series = reports.series("ccsd")
    assert [report.iteration for report in series] == list(range(1, len(series) + 1))
    assert series[-1].residual is not None
    assert series[-1].residual < 1e-5
    assert series[-1].energy_hartree == pytest.approx(solve(WATER, {"name": "ccsd"})[0].energy_hartree, abs=1e-8)


def test_a_broken_bond_is_warned_of() -> None:
    good, _ = solve(WATER, {"name": "ccsd"}, basis="6-31g")
    bad, _ = solve(STRETCHED_N2, {"name": "ccsd"})
    assert not any("one determinant" in warning for warning in good.warnings)
    assert any("one determinant" in warning for warning in bad.warnings)
    assert bad.diagnostics["largest_t2"] > 0.15
    exact, _ = solve(STRETCHED_N2, {"name": "fci"})
    assert bad.energy_hartree < exact.energy_hartree  # which is what the warning says


def test_anions_in_diffuse_functions_are_not_called_multireference() -> None:
    result, _ = solve(atoms(("F", 0, 0, 0), charge=-1), {"name": "ccsd(t)"}, basis="aug-cc-pvdz")
    assert result.diagnostics["t1"] > 0.02
    assert not any("one determinant" in warning for warning in result.warnings)


def test_square_hydrogen_is_warned_of() -> None:
    result, _ = solve(atoms(*(("H", x, y, 0) for x in (0, 1) for y in (0, 1))), {"name": "ccsd"})
    assert any("one determinant" in warning for warning in result.warnings)
    assert any("saddle point" in warning for warning in result.warnings)


def test_what_does_not_converge_says_so() -> None:
    result, _ = solve(WATER, {"name": "ccsd", "max_iterations": 2})
    assert not result.converged
    assert any("max_iterations" in warning for warning in result.warnings)


def test_density_fitting_is_named() -> None:
    exact, _ = solve(WATER, {"name": "mp2"}, basis="cc-pvdz")
    fitted, _ = solve(WATER, {"name": "mp2", "density_fit": True}, basis="cc-pvdz")
    assert 0 < abs(fitted.energy_hartree - exact.energy_hartree) < 3e-4
    assert any("density fitting" in warning for warning in fitted.warnings)


def test_amplitudes_that_are_kept_save_iterations() -> None:
    spec = msgspec.convert({"molecule": WATER, "method": {"name": "ccsd"}, "basis": "6-31g"}, Spec)
    memory, first, second = Memory(), Reports(), Reports()
    run(spec, first.append, lambda: False, memory)
    run(spec, second.append, lambda: False, memory)
    assert len(second.series("ccsd")) < len(first.series("ccsd")) / 2
    assert len(second.series("scf")) < len(first.series("scf"))
    assert not [report for report in second if isinstance(report, Log)]  # nothing came from a file
