"""Optimisation, vibrations and scans."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers import frequencies, internal, mole, scan, self_consistent, thermochemistry
from kanad_solvers.molecule import parse
from kanad_solvers.prepare import Parsed
from kanad_solvers.progress import Geometry, Point
from kanad_solvers.result import Coordinates
from kanad_solvers.run import Watch
from kanad_solvers.spec import Coordinate, Spec
from tests.unit.solvers.solving import H2, LIH, WATER, Reports, atoms, solve

PLANAR_AMMONIA = atoms(
    ("N", 0, 0, 0), ("H", 0, 0.99, 0), ("H", 0.857365, -0.495, 0), ("H", -0.857365, -0.495, 0)
)  # fmt: skip
HF = {"name": "hf"}


# Optimisation


@pytest.mark.parametrize(
    ("method", "length"),
    # Bond lengths of N2 from the same methods in CCCBDB (NIST), 6-31G*
    [({"name": "hf"}, 1.0784), ({"name": "mp2"}, 1.1309), ({"name": "dft", "xc": "b3lyp"}, 1.1056)],
)
def test_the_minimum_is_the_published_one(method: dict[str, Any], length: float) -> None:
    result, reports = solve({"library": "N2"}, method, basis="6-31g*", task={"name": "optimize"})
    assert result.geometry is not None
    found = internal.measure(np.array(result.geometry.coordinates_angstrom), Coordinate(type="bond", atoms=(0, 1)))
    assert found == pytest.approx(length, abs=2e-3)
    frames = [report for report in reports if isinstance(report, Geometry)]
    assert [frame.step for frame in frames] == list(range(len(frames)))
    assert frames[-1].energy_hartree == result.energy_hartree
    assert result.optimization is not None
    assert result.optimization.converged
    assert result.optimization.max_gradient_hartree_per_bohr < 4.5e-4


def test_iterations_go_on_counting_from_step_to_step() -> None:
    _, reports = solve(WATER, HF, task={"name": "optimize"})
    iterations = [report.iteration for report in reports.series("scf")]
    assert iterations == sorted(set(iterations))


def test_too_few_steps_are_said_and_not_hidden() -> None:
    far = atoms(("O", 0, 0, 0), ("H", 0, 0.9, -0.9), ("H", 0, -0.9, -0.9))
    result, _ = solve(far, HF, task={"name": "optimize", "max_steps": 1})
    assert not result.converged
    assert result.optimization is not None
    assert not result.optimization.converged
    assert any("max_steps" in warning for warning in result.warnings)


# Vibrations


def vibrations(
    molecule: dict[str, Any], method: dict[str, Any] | None = None, basis: str = "sto-3g", **task: Any
) -> Any:
    result, _ = solve(molecule, method or HF, basis=basis, task={"name": "frequencies"} | task)
    assert result.frequencies is not None
    return result.frequencies, result


def test_an_atom_has_no_vibrations_even_with_one_electron() -> None:
    found, _ = vibrations(atoms(("H", 0, 0, 0), multiplicity=2))
    assert found.wavenumbers_cm == ()
    assert found.zpe_hartree == 0.0


@pytest.mark.parametrize(
    ("name", "group", "sigma", "count"),
    [("H2O", "C2v", 2, 3), ("NH3", "C3v", 3, 6), ("CH4", "Td", 12, 9), ("CO2", "Dooh", 2, 4), ("HCN", "Coov", 1, 4)],
)
def test_symmetry_numbers_and_the_number_of_modes(name: str, group: str, sigma: int, count: int) -> None:
    found, result = vibrations({"library": name})
    assert (found.point_group, found.symmetry_number) == (group, sigma)
    assert len(found.wavenumbers_cm) == len(found.ir_km_mol) == len(found.modes) == count
    assert min(found.wavenumbers_cm) > 100
    assert found.gibbs_hartree < found.enthalpy_hartree < result.energy_hartree + 0.1
    for mode in found.modes:
        assert np.linalg.norm(mode) == pytest.approx(1)


def test_a_saddle_point_has_one_imaginary_wavenumber() -> None:
    found, result = vibrations(PLANAR_AMMONIA, optimize_first=False)
    assert sum(w < 0 for w in found.wavenumbers_cm) == 1
    assert any("imaginary" in warning for warning in result.warnings)


def test_away_from_a_stationary_point_it_is_said() -> None:
    _, result = vibrations(atoms(("H", 0, 0, 0), ("H", 0, 0, 0.9)), optimize_first=False)
    assert any("stationary" in warning for warning in result.warnings)


def test_open_shells_and_functionals_vibrate_too() -> None:
    hydroxyl = atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)
    found, _ = vibrations(hydroxyl, {"name": "dft", "xc": "pbe0", "grid_level": 2})
    assert 3000 < found.wavenumbers_cm[0] < 4000


@pytest.mark.parametrize(
    ("method", "more", "tolerance"),
    [
        (HF, {}, 2e-5),
        (HF, {"charge": 1, "multiplicity": 2}, 2e-5),
        ({"name": "dft", "xc": "pbe0"}, {}, 1e-3),
    ],
)
def test_dipole_derivatives_are_differences_of_dipoles(method: Any, more: Any, tolerance: float) -> None:
    spec = msgspec.convert({"molecule": WATER | more, "method": method, "basis": "6-31g"}, Spec)
    watch = Watch(lambda _: None, lambda: False)
    molecule = parse(spec.molecule)
    field = self_consistent.converge(mole.build(spec, molecule), spec, watch)
    _, response = frequencies.hessian(field, watch)
    derivatives = frequencies.dipole_derivatives(field, response)
    step, ends = 1e-3, []
    for sign in (1, -1):
        moved = [list(row) for row in molecule.geometry.coordinates_angstrom]
        moved[1][1] += sign * step
        shifted = atoms(*((s, x, y, z) for s, (x, y, z) in zip(molecule.geometry.symbols, moved, strict=True)), **more)
        result, _ = solve(shifted, method, basis="6-31g")
        assert result.properties is not None
        ends.append(np.array(result.properties.dipole_debye) / 2.541746473)
    numeric = (ends[0] - ends[1]) / (2 * step / 0.529177210903)
    assert derivatives[1, 1] == pytest.approx(numeric, abs=tolerance)
    charges = more.get("charge", 0) * np.eye(3)
    assert derivatives.sum(axis=0) == pytest.approx(charges, abs=tolerance)  # what a shift of all atoms does


def test_an_atom_has_translations_only() -> None:
    found, result = vibrations(atoms(("He", 0, 0, 0)))
    assert found.wavenumbers_cm == ()
    # 3/2 kT and, with pV, 5/2 kT
    assert found.enthalpy_hartree - result.energy_hartree == pytest.approx(2.5 * 298.15 * 3.166811563e-6, rel=1e-6)
    # Sackur and Tetrode: S(He, 298.15 K, 1 atm) = 126.04 J/mol/K
    assert found.entropy_hartree_per_k * 2625499.64 == pytest.approx(126.04, abs=0.02)


def test_entropy_of_nitrogen_is_the_measured_one() -> None:
    # NIST-JANAF: 191.609 J/mol/K at 298.15 K and 1 bar
    found, _ = vibrations({"library": "N2"}, basis="6-31g*", pressure_pa=100_000)
    assert found.entropy_hartree_per_k * 2625499.64 == pytest.approx(191.609, abs=0.5)


@pytest.mark.parametrize(
    ("group", "sigma"),
    [("C1", 1), ("Cs", 1), ("C2v", 2), ("C3v", 3), ("D2h", 4), ("D3h", 6), ("D6h", 12), ("S4", 2), ("Td", 12),
     ("Oh", 24), ("Ih", 60), ("Coov", 1), ("Dooh", 2)],
)  # fmt: skip
def test_symmetry_number_of_a_point_group(group: str, sigma: int) -> None:
    assert thermochemistry.symmetry_number(group) == sigma


# Scans


def bond(*values: float) -> dict[str, Any]:
    return {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "values": values}


@pytest.mark.parametrize("method", ["hf", "mp2", "ccsd", "fci", "sqd", "vqe", "adapt_vqe", "selected_ci", "krylov_sqd"])
def test_each_point_has_the_energy_of_a_run_by_itself(method: str) -> None:
    values = (1.4, 1.6, 1.8)
    result, reports = solve(LIH, {"name": method}, task=bond(*values))
    assert result.scan is not None
    for value, energy in zip(values, result.scan.energies_hartree, strict=True):
        alone, _ = solve(atoms(("Li", 0, 0, 0), ("H", 0, 0, value)), {"name": method})
        if method in ("sqd", "krylov_sqd"):  # the neighbour's best strings can only help
            assert energy < alone.energy_hartree + 2e-6
        else:
            assert energy == pytest.approx(alone.energy_hartree, abs=2e-6)
    points = [report for report in reports if isinstance(report, Point)]
    assert [point.index for point in points] == [0, 1, 2]
    assert result.energy_hartree == pytest.approx(min(result.scan.energies_hartree), abs=1e-7)
    assert result.properties is not None
    if method == "vqe":
        assert set(result.comparisons) == {"hf", "fci"}


def test_orbitals_are_handed_on() -> None:
    _, whole = solve(WATER, HF, task=bond(0.95, 0.96, 0.97, 0.98, 0.99, 1.0))
    _, alone = solve(WATER, HF)
    assert len(whole.series("scf")) < 6 * len(alone.series("scf"))


def test_a_change_of_state_is_flagged() -> None:
    # Ethylene twisted through 90 degrees: two closed-shell determinants cross there.
    task = {
        "name": "scan",
        "coordinate": {"type": "dihedral", "atoms": [2, 0, 1, 4]},
        "start": 40.0,
        "stop": 140.0,
        "points": 11,
    }
    result, _ = solve({"smiles": "C=C"}, HF, task=task)
    assert result.scan is not None
    smooth, _ = solve(H2, HF, task=bond(*np.linspace(0.6, 1.6, 11).tolist()))
    assert smooth.scan is not None
    assert smooth.scan.jumps == ()
    coarse, _ = solve(H2, {"name": "fci"}, task=bond(*np.linspace(0.5, 2.5, 9).tolist()))
    assert coarse.scan is not None
    assert coarse.scan.jumps == ()
    energies = result.scan.energies_hartree
    assert 5 in result.scan.jumps
    assert any("state seems to change" in warning for warning in result.warnings)
    assert energies == pytest.approx(energies[::-1], abs=1e-4)  # the twist is symmetric, and so are lowest states


def test_a_kink_is_found_and_a_smooth_curve_has_none() -> None:
    x = np.linspace(0.5, 3.0, 26)
    morse = 0.2 * (1 - np.exp(-1.5 * (x - 1.0))) ** 2
    assert scan.kinks(x, morse) == []
    assert scan.kinks(x, np.where(np.arange(26) < 13, morse, morse - 0.03)) == [12]
    crossing = np.minimum(morse, 0.22 - 0.06 * x)
    (place,) = scan.kinks(x, crossing)
    assert crossing[place] == morse[place]
    assert crossing[place + 1] != morse[place + 1]


def test_smooth_curves_of_few_points_have_no_kink() -> None:
    rng = np.random.default_rng(7)
    for _ in range(500):
        depth, slope, middle = rng.uniform(0.05, 0.4), rng.uniform(0.8, 3.0), rng.uniform(0.7, 2.5)
        x = np.linspace(middle * rng.uniform(0.5, 0.95), middle * rng.uniform(1.2, 3.0), int(rng.integers(5, 40)))
        assert scan.kinks(x, depth * (1 - np.exp(-slope * (x - middle))) ** 2) == [], x


GLYOXAL = {"smiles": "O=CC=O"}


def test_what_hangs_on_the_last_atom_moves_and_the_rest_stays() -> None:
    molecule: Parsed = parse(msgspec.convert({"molecule": {"smiles": "CO"}, "method": HF}, Spec).molecule)
    geometry = molecule.geometry
    twist = Coordinate(type="dihedral", atoms=(2, 0, 1, 5))
    before = np.array(geometry.coordinates_angstrom)
    for value in (-150.0, 0.0, 60.0, 180.0):
        moved = np.array(internal.with_value(geometry, twist, value).coordinates_angstrom)
        assert np.cos(np.radians(internal.measure(moved, twist) - value)) == pytest.approx(1, abs=1e-9)
        assert moved[:5] == pytest.approx(before[:5])
    stretch = Coordinate(type="bond", atoms=(0, 1))
    moved = np.array(internal.with_value(geometry, stretch, 2.0).coordinates_angstrom)
    assert internal.measure(moved, stretch) == pytest.approx(2.0)
    assert np.linalg.norm(moved[5] - moved[1]) == pytest.approx(np.linalg.norm(before[5] - before[1]))


@pytest.mark.parametrize("value", [20.0, 104.5, 150.0, 180.0])
def test_an_angle_takes_the_value(value: float) -> None:
    for start in (104.5, 180.0):
        hydrogen = (0.96 * np.cos(np.radians(start)), 0.96 * np.sin(np.radians(start)), 0.0)
        geometry = Coordinates(
            symbols=("H", "O", "H"), coordinates_angstrom=((0.96, 0.0, 0.0), (0.0, 0.0, 0.0), hydrogen)
        )
        bend = Coordinate(type="angle", atoms=(0, 1, 2))
        moved = internal.with_value(geometry, bend, value)
        assert internal.measure(np.array(moved.coordinates_angstrom), bend) == pytest.approx(value, abs=1e-6)


def test_reports_of_points_come_in_order() -> None:
    reports: Reports = solve(H2, HF, task=bond(0.7, 0.9, 0.8))[1]
    assert [report.value for report in reports if isinstance(report, Point)] == [0.7, 0.9, 0.8]


@pytest.mark.parametrize("model", ["cpcm", "smd"])
def test_a_solvent_shifts_vibrations(model: str) -> None:
    task = {"name": "frequencies", "optimize_first": False}
    wet, _ = solve(LIH, HF, task=task, solvent={"name": "water", "model": model})
    dry, _ = solve(LIH, HF, task=task)
    assert wet.frequencies is not None
    assert dry.frequencies is not None
    assert 100 < wet.frequencies.wavenumbers_cm[0] < dry.frequencies.wavenumbers_cm[0] - 1
