"""Ansatz, optimisers, shots, growth, expansion and circuits."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers import adapt, checks, qasm, statevector
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.prepare import prepare
from kanad_solvers.spec import Spec
from kanad_solvers.statevector import Ansatz
from tests.unit.solvers.solving import H2, LIH, WATER, Reports, solve

FCI_H2 = -1.1372701747  # PySCF 2.14.0
FCI_LIH = -7.8824034103
SMALL = {"electrons": 2, "orbitals": 3}


def vqe(molecule: dict[str, Any], fields: dict[str, Any] | None = None, **method: Any) -> Any:
    return solve(molecule, {"name": "vqe"} | method, **(fields or {}))


# Optimisers


@pytest.mark.parametrize("optimizer", ["l-bfgs-b", "slsqp", "cobyla"])
def test_every_exact_optimiser_finds_full_ci_of_two_electrons(optimizer: str) -> None:
    result, reports = vqe(H2, optimizer=optimizer)
    assert result.converged
    assert result.energy_hartree == pytest.approx(FCI_H2, abs=1e-7)
    assert result.search.iterations == len(reports.series("vqe"))
    assert result.search.evaluations >= result.search.iterations
    assert result.search.optimizer == optimizer


def test_spsa_comes_near_and_repeats_with_its_seed() -> None:
    first, second, other = (vqe(H2, optimizer="spsa", seed=seed)[0] for seed in (1, 1, 2))
    assert first.energy_hartree == second.energy_hartree != other.energy_hartree
    assert FCI_H2 - 1e-9 < first.energy_hartree < FCI_H2 + 1e-3


def test_an_optimiser_that_is_stopped_says_so() -> None:
    result, _ = vqe(LIH, max_iterations=2)
    assert not result.converged
    assert any("max_iterations" in warning for warning in result.warnings)


# Ansatz


def test_screening_by_symmetry_loses_nothing() -> None:
    excitations, parameters = statevector.uccsd(6, (2, 2))
    screened, fewer = statevector.uccsd(6, (2, 2), np.array([0, 0, 0, 2, 3, 0]))
    assert fewer < parameters
    assert {(e.alpha, e.beta) for e in screened} < {(e.alpha, e.beta) for e in excitations}
    result, _ = vqe(LIH)
    assert result.circuit.parameters == fewer
    assert result.energy_hartree == pytest.approx(-7.8823929, abs=1e-6)  # tests/data, lih-uccsd-vqe


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_hardware_efficient_circuit_reaches_full_ci_of_hydrogen(seed: int) -> None:
    result, _ = vqe(H2, ansatz="hardware_efficient", seed=seed)
    assert result.energy_hartree == pytest.approx(FCI_H2, abs=1e-6)
    assert result.circuit.parameters == 12
    assert result.circuit.two_qubit_gates == 6


def test_the_hardware_efficient_energy_is_variational_and_keeps_its_electrons() -> None:
    result, _ = vqe(LIH, {"active_space": SMALL}, ansatz="hardware_efficient", layers=3)
    exact, _ = solve(LIH, {"name": "fci"}, active_space=SMALL)
    assert exact.energy_hartree - 1e-6 < result.energy_hartree < result.comparisons["hf"] + 1e-6
    assert result.states[0].s_squared < 0.1


def test_hardware_efficient_slopes_are_differences() -> None:
    from kanad_solvers import active_space, mole
    from kanad_solvers.hardware_efficient import HardwareEfficient
    from kanad_solvers.molecule import parse
    from kanad_solvers.run import Watch
    from kanad_solvers.spec import HartreeFock, Molecule, Spec

    watch = Watch(lambda _: None, lambda: False)
    spec = Spec(molecule=Molecule(library="H2"), method=HartreeFock())
    window = active_space.reference_window(spec, mole.build(spec, parse(spec.molecule)), watch)
    circuit = HardwareEfficient(window, 2, watch)
    angles = np.random.default_rng(5).normal(size=circuit.parameters)
    _, slopes = circuit.slopes(angles)
    for place in range(circuit.parameters):
        shift = np.zeros_like(angles)
        shift[place] = 1e-5
        ends = [circuit.slopes(angles + sign * shift)[0] for sign in (1, -1)]
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_lucj_from_ccsd_amplitudes() -> None:
    pytest.importorskip("ffsim")
    exact, _ = vqe(H2, ansatz="lucj", layers=1)
    assert exact.energy_hartree == pytest.approx(FCI_H2, abs=1e-6)
    better = [vqe(LIH, {"active_space": SMALL}, ansatz="lucj", layers=n)[0].energy_hartree for n in (1, 2)]
    fci, _ = solve(LIH, {"name": "fci"}, active_space=SMALL)
    assert fci.energy_hartree - 1e-8 < better[1] <= better[0] + 1e-6


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("$.method.ansatz", {"name": "vqe", "ansatz": "lucj"}),
        ("$.method.sampler", {"name": "sqd", "sampler": "lucj"}),
    ],
)
def test_without_ffsim_lucj_is_refused_with_what_to_install(
    path: str, method: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    with pytest.raises(InvalidSpec, match=r"pip install 'kanad-server\[quantum\]'") as caught:
        prepare(msgspec.convert({"molecule": H2, "method": method}, Spec))
    assert [error.path for error in caught.value.errors] == [path]


# Shots


def test_measured_energies_scatter_about_the_exact_one() -> None:
    exact, _ = vqe(H2, optimizer="cobyla")
    found = [vqe(H2, optimizer="spsa", shots=40_000, seed=seed)[0] for seed in range(3)]
    for result in found:
        assert abs(result.energy_hartree - exact.energy_hartree) < 0.02
        assert any("shots" in warning and "standard error" in warning for warning in result.warnings)
    assert len({result.energy_hartree for result in found}) == 3
    again, _ = vqe(H2, optimizer="spsa", shots=40_000, seed=1)
    assert again.energy_hartree == found[1].energy_hartree


def test_many_shots_converge_to_the_expectation_value() -> None:
    from kanad_solvers import active_space, amplitudes, mole, shots
    from kanad_solvers import vqe as solver
    from kanad_solvers.molecule import parse
    from kanad_solvers.run import Watch
    from kanad_solvers.spec import HartreeFock, Molecule, Spec

    watch = Watch(lambda _: None, lambda: False)
    spec = Spec(molecule=Molecule(library="LiH"), method=HartreeFock())
    window = active_space.reference_window(spec, mole.build(spec, parse(spec.molecule)), watch)
    ansatz = solver.uccsd_ansatz(window)
    state = ansatz.state(amplitudes.mp2_angles(window, ansatz))
    exact = solver.ExactEnergy(window, watch).energy(state)
    for count in (1_000, 1_000_000):
        energy, error = shots.Measurement(window, count, np.random.default_rng(3)).estimate(state.reshape(ansatz.shape))
        assert abs(energy - exact) < 4 * error
    assert error < 2e-3


# Growth


@pytest.mark.parametrize("pool", ["singles_doubles", "generalized"])
def test_adapt_reaches_the_millihartree(pool: str) -> None:
    result, reports = solve(LIH, {"name": "adapt_vqe", "pool": pool})
    assert FCI_LIH - 1e-9 < result.energy_hartree < FCI_LIH + 1e-3
    assert result.converged
    assert result.search is not None
    assert len(result.search.operators) == len(reports.series("adapt"))
    energies = [report.energy_hartree for report in reports.series("adapt")]
    assert energies == sorted(energies, reverse=True)
    assert result.states[0].s_squared == pytest.approx(0, abs=1e-6)


def test_adapt_needs_one_operator_for_hydrogen() -> None:
    result, _ = solve(H2, {"name": "adapt_vqe"})
    assert result.energy_hartree == pytest.approx(FCI_H2, abs=1e-8)
    assert result.search is not None
    assert result.search.operators == ("0a->1a 0b->1b",)


def test_adapt_that_is_stopped_says_so() -> None:
    result, _ = solve(LIH, {"name": "adapt_vqe", "max_operators": 2})
    assert not result.converged
    assert any("max_operators" in warning for warning in result.warnings)


def test_the_generalised_pool_has_no_operator_twice() -> None:
    excitations, _ = adapt.generalized(4, None)
    seen = set()
    for excitation in excitations:
        forward = (frozenset(excitation.alpha), frozenset(excitation.beta))
        backward = tuple(frozenset((a, i) for i, a in moves) for moves in forward)
        assert forward not in seen
        assert backward not in seen
        seen.add(forward)


# Expansion


@pytest.mark.parametrize("spin", ["singlet", "triplet", "any"])
def test_the_expansion_finds_the_states_of_full_ci(spin: str) -> None:
    task = {"name": "excited_states", "n_states": 3, "spin": spin}
    ours, _ = solve(LIH, {"name": "vqe"}, task=task)
    exact, _ = solve(LIH, {"name": "fci"}, task=task)
    found = [state.excitation_ev for state in ours.states]
    assert found == pytest.approx([state.excitation_ev for state in exact.states], abs=0.01)
    for state, reference in zip(ours.states, exact.states, strict=True):
        assert state.energy_hartree > reference.energy_hartree - 1e-6
        assert state.s_squared == pytest.approx(reference.s_squared, abs=1e-3)


# Circuits


def run_program(text: str, qubits: int) -> Any:
    """The state of an OpenQASM 3 program of x, h, rx, ry, rz, cx and cz gates; qubit q is bit q."""
    state = np.zeros(1 << qubits, dtype=complex)
    state[0] = 1
    for line in text.splitlines()[3:]:
        match = re.fullmatch(r"(\w+)(?:\(([^)]*)\))? (.*);", line)
        assert match is not None, line
        places = [int(place) for place in re.findall(r"q\[(\d+)\]", match[3])]
        angle = eval(match[2], {"pi": np.pi}) if match[2] else 0.0  # noqa: S307  # our own text
        state = _apply(state, match[1], angle, places)
    return state


def _apply(state: Any, gate: str, angle: float, places: list[int]) -> Any:
    index = np.arange(len(state))
    if gate == "cx":
        return state[np.where(index >> places[0] & 1, index ^ (1 << places[1]), index)]
    if gate == "cz":
        return np.where((index >> places[0] & 1) & (index >> places[1] & 1), -state, state)
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    matrix = {
        "x": np.array([[0, 1], [1, 0]]),
        "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
        "rx": np.array([[c, -1j * s], [-1j * s, c]]),
        "ry": np.array([[c, -s], [s, c]]),
        "rz": np.diag([np.exp(-0.5j * angle), np.exp(0.5j * angle)]),
    }[gate]
    pairs = state.reshape(-1, 2, 1 << places[0])
    return np.einsum("ab,xby->xay", matrix, pairs).ravel()


@pytest.mark.parametrize(("norb", "nelec"), [(2, (1, 1)), (3, (1, 1)), (3, (2, 1)), (4, (2, 2))])
def test_the_program_prepares_the_state_of_the_ansatz(norb: int, nelec: tuple[int, int]) -> None:
    excitations, parameters = statevector.uccsd(norb, nelec)
    ansatz = Ansatz(norb, nelec, excitations)
    angles = np.random.default_rng(7).normal(scale=0.4, size=parameters)
    text = qasm.program(ansatz, angles)
    assert text is not None
    prepared = run_program(text, 2 * norb)
    alpha, beta = ansatz.strings
    places = alpha[:, None] | beta[None, :] << norb
    expected = ansatz.state(angles).reshape(ansatz.shape)
    assert np.abs(np.vdot(prepared[places], expected)) == pytest.approx(1, abs=1e-10)
    assert text.count("cx ") == statevector.two_qubit_gates(norb, ansatz.excitations)


def test_no_program_beyond_twenty_qubits() -> None:
    excitations, parameters = statevector.uccsd(11, (1, 1))
    assert qasm.program(Ansatz(11, (1, 1), excitations), np.zeros(parameters)) is None


def test_the_layered_program_prepares_the_layered_state() -> None:
    angles = np.random.default_rng(1).normal(size=(3, 4))
    text = qasm.layered(4, [0, 2], angles)
    assert text is not None
    assert np.linalg.norm(run_program(text, 4)) == pytest.approx(1)
    assert text.count("cz ") == 6


def test_the_optimiser_reports_iterations_and_not_evaluations() -> None:
    reports: Reports = vqe(WATER)[1]
    iterations = [report.iteration for report in reports.series("vqe")]
    assert iterations == list(range(1, len(iterations) + 1))
