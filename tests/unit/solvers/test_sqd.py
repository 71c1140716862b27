"""Sample-based diagonalisation: recovery as published, bounds, repeatability, and the published log of H2."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from pyscf import ao2mo
from pyscf.fci import cistring, direct_spin1, selected_ci

from kanad_solvers import active_space, mole, sampling, subspace
from kanad_solvers.active_space import Window
from kanad_solvers.cost import SUBSPACE_VECTORS
from kanad_solvers.errors import InvalidSpec, TooLarge
from kanad_solvers.molecule import parse
from kanad_solvers.run import Watch
from kanad_solvers.sampling import Strings
from kanad_solvers.spec import HartreeFock, Molecule, Spec
from kanad_solvers.subspace import Subspace
from tests.unit.solvers.solving import H2, LIH, OXYGEN, WATER, atoms, solve

UNIFORM = {"name": "sqd", "sampler": "uniform", "seed": 3}


def quiet() -> Watch:
    return Watch(lambda _: None, lambda: False)


def window_of(molecule: dict[str, Any]) -> Window:
    spec = Spec(molecule=msgspec.convert(molecule, Molecule), method=HartreeFock())
    return active_space.reference_window(spec, mole.build(spec, parse(spec.molecule)), quiet())


def some_strings(norb: int, electrons: int, number: int, seed: int) -> Strings:
    every = cistring.make_strings(range(norb), electrons)
    return np.sort(np.random.default_rng(seed).choice(every, size=min(number, len(every)), replace=False))


# Whole runs


def test_hydrogen_gives_the_published_log() -> None:
    molecule = atoms(("H", 0, 0, 0), ("H", 0, 0, 0.69801888))
    result, reports = solve(molecule, {"name": "sqd", "n_states": 3})
    assert [(stage.stage, stage.message) for stage in reports.stages()] == [
        (0, "HF reference computed"),
        (1, "Subspace basis generated"),
        (2, "Hamiltonian projected"),
        (3, "Hamiltonian diagonalised"),
        (4, "State 0"),
        (5, "State 1"),
        (6, "State 2"),
    ]
    assert {stage.last_stage for stage in reports.stages()} == {6}
    assert reports.stages()[0].energy_hartree == pytest.approx(-1.11729324, abs=1e-7)
    published = [-1.13605351, -0.47567111, -0.11788595]
    assert [state.energy_hartree for state in result.states] == pytest.approx(published, abs=1e-7)
    assert [state.energy_hartree for state in reports.states()] == pytest.approx(published, abs=1e-7)
    assert [state.s_squared for state in result.states] == pytest.approx([0, 2, 0], abs=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "uccsd"},
        {"sampler": "uccsd", "noise": 0.05},
        {"sampler": "uniform", "samples_per_batch": 20},
        {"sampler": "uniform", "n_samples": 5, "samples_per_batch": 2, "n_batches": 1},
    ],
)
@pytest.mark.parametrize("molecule", [LIH, WATER, OXYGEN])
def test_the_energy_is_bounded_and_never_rises(molecule: dict[str, Any], options: dict[str, Any]) -> None:
    result, reports = solve(molecule, {"name": "sqd", "seed": 5, **options})
    energies = [step.energy_hartree for step in reports.series("sqd")]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(energies))
    assert result.energy_hartree == pytest.approx(energies[-1], abs=1e-12)
    assert result.comparisons["fci"] - 1e-9 <= result.energy_hartree <= result.comparisons["hf"] + 1e-9


def test_all_strings_give_full_ci() -> None:
    result, _ = solve(LIH, {**UNIFORM, "samples_per_batch": 1000})
    assert result.converged
    assert result.energy_hartree == pytest.approx(-7.8824034103, abs=1e-8)  # full CI, PySCF 2.14.0


def test_the_same_seed_gives_the_same_digits_and_another_seed_other_samples() -> None:
    method = {"name": "sqd", "noise": 0.1, "samples_per_batch": 8, "n_batches": 2, "max_iterations": 2}
    first, again, other = (solve(WATER, {**method, "seed": seed})[0] for seed in (1, 1, 2))
    assert first.energy_hartree == again.energy_hartree
    assert first.properties == again.properties
    assert first.energy_hartree != other.energy_hartree


def test_self_consistency_improves_on_noisy_samples() -> None:
    method = {"name": "sqd", "noise": 0.1, "samples_per_batch": 12, "seed": 4}
    once, _ = solve(WATER, {**method, "max_iterations": 1})
    often, _ = solve(WATER, {**method, "max_iterations": 6})
    assert often.energy_hartree < once.energy_hartree - 1e-5


def test_an_unfinished_search_says_so() -> None:
    result, _ = solve(WATER, {"name": "sqd", "noise": 0.1, "samples_per_batch": 4, "max_iterations": 2})
    assert not result.converged
    assert any("still moving" in warning for warning in result.warnings)


@pytest.mark.parametrize("n_states", [1, 2, 4])
def test_the_smallest_spaces_hold_every_state(n_states: int) -> None:
    result, _ = solve(H2, {"name": "sqd", "n_states": n_states, "n_samples": 1, "samples_per_batch": 1})
    assert len(result.states) == n_states
    assert result.states[0].s_squared == pytest.approx(0, abs=1e-8)


def test_a_single_determinant_is_a_space() -> None:
    helium, _ = solve(atoms(("He", 0, 0, 0)), {"name": "sqd"})
    hydrogen, _ = solve(atoms(("H", 0, 0, 0), multiplicity=2), {"name": "sqd"}, basis="6-31g")
    assert helium.components["correlation_hartree"] == pytest.approx(0, abs=1e-10)
    assert hydrogen.components["correlation_hartree"] == pytest.approx(0, abs=1e-10)


def test_measured_counts_are_read_beta_left_and_highest_first() -> None:
    # H2: alpha orbitals are the right half; "0101" is both electrons in the lower orbital.
    counts = {"0101": 90, "1010": 10}
    result, _ = solve(H2, {"name": "sqd", "sampler": "counts", "counts": counts})
    assert result.energy_hartree == pytest.approx(-1.1372701747, abs=1e-9)
    assert result.circuit is None


@pytest.mark.parametrize("counts", [{"010": 1}, {"0102": 1}, {}, None])
def test_counts_that_are_no_bitstrings_are_refused(counts: dict[str, int] | None) -> None:
    with pytest.raises(InvalidSpec) as caught:
        solve(H2, {"name": "sqd", "sampler": "counts", "counts": counts})
    assert caught.value.errors[0].path == "$.method.counts"


def test_counts_without_the_right_electrons_are_recovered() -> None:
    result, _ = solve(H2, {"name": "sqd", "sampler": "counts", "counts": {"1111": 5, "0000": 5}})
    assert result.comparisons["fci"] - 1e-9 <= result.energy_hartree <= result.comparisons["hf"] + 1e-9


def test_more_states_than_determinants_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="at most 4 states"):
        solve(H2, {"name": "sqd", "n_states": 5})


# Sampling and recovery


def test_recovery_gives_the_right_electrons_and_leaves_right_strings_alone() -> None:
    rng = np.random.default_rng(1)
    samples = sampling.uniform(6, 500, rng)
    occupancies = (np.linspace(0.99, 0.01, 6), np.linspace(0.9, 0.1, 6))
    recovered = sampling.recover(samples, (3, 2), occupancies, rng)
    assert set(np.bitwise_count(recovered.alpha)) == {3}
    assert set(np.bitwise_count(recovered.beta)) == {2}
    assert recovered.weights.sum() == pytest.approx(1)
    right = samples.with_electrons((3, 2))
    kept = set(zip(right.alpha.tolist(), right.beta.tolist(), strict=True))
    assert kept <= set(zip(recovered.alpha.tolist(), recovered.beta.tolist(), strict=True))


def test_recovery_flips_the_bits_that_disagree_most() -> None:
    # One electron too many: orbital 2 is almost empty on average, so its bit goes nearly always.
    samples = sampling.gather(3, np.array([0b111]), np.array([0b011]))
    occupancies = (np.array([1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0]))
    rng = np.random.default_rng(2)
    gone = [sampling.recover(samples, (2, 2), occupancies, rng).alpha[0] for _ in range(50)]
    assert gone == [0b011] * 50


def test_flip_weights_are_the_published_piecewise_line() -> None:
    # Robledo-Moreno et al.: 0 at y = 0, delta = 0.01 at y = h, 1 at y = 1.
    bits = np.array([[True, True, False, False]])
    occupancies = np.array([1.0, 0.75, 0.25, 1.0])
    weights = sampling.flip_weights(bits, occupancies, filling=0.25)
    assert weights[0] == pytest.approx([0.0, 0.01, 0.01, 1.0])


def test_samples_follow_the_state() -> None:
    vector = np.sqrt(np.array([[0.5, 0.0], [0.2, 0.3]]))
    strings = (np.array([1, 2]), np.array([1, 2]))
    samples = sampling.from_state(vector, strings, 2, 100_000, np.random.default_rng(8))
    found = dict(zip(zip(samples.alpha.tolist(), samples.beta.tolist(), strict=True), samples.weights, strict=True))
    assert found == pytest.approx({(1, 1): 0.5, (2, 1): 0.2, (2, 2): 0.3}, abs=0.01)


def test_noise_flips_the_asked_fraction_of_bits() -> None:
    samples = sampling.gather(8, np.array([0]), np.array([0]))
    noisy = sampling.with_noise(samples, 200_000, 0.1, np.random.default_rng(9))
    flipped = np.bitwise_count(noisy.alpha) + np.bitwise_count(noisy.beta).astype(int)
    assert float(flipped @ noisy.weights) / 16 == pytest.approx(0.1, abs=0.002)


def test_batches_draw_without_repeats_by_weight() -> None:
    samples = sampling.gather(5, np.arange(20), np.zeros(20, dtype=np.int64), np.arange(1.0, 21.0))
    drawn = sampling.batches(samples, 5, 400, np.random.default_rng(6))
    assert all(len(set(batch.alpha.tolist())) == 5 for batch in drawn)
    seen = np.bincount(np.concatenate([batch.alpha for batch in drawn]), minlength=20)
    assert seen[-5:].sum() > 2 * seen[:5].sum()


def test_lowest_strings_begin_with_hartree_fock() -> None:
    assert sampling.lowest_strings(4, 2, 10).tolist() == [0b0011, 0b0101, 0b0110, 0b1001, 0b1010, 0b1100]
    assert sampling.lowest_strings(3, 0, 4).tolist() == [0]
    assert sampling.lowest_strings(3, 3, 4).tolist() == [0b111]


def test_bits_and_strings_are_inverse() -> None:
    strings = np.array([0, 5, (1 << 62) - 1], dtype=np.int64)
    assert sampling.to_strings(sampling.to_bits(strings, 62)).tolist() == strings.tolist()


# Subspaces


@pytest.mark.parametrize("molecule", [WATER, OXYGEN])
def test_the_projected_hamiltonian_is_that_of_selected_ci(molecule: dict[str, Any]) -> None:
    window = window_of(molecule)
    strings = tuple(some_strings(window.norb, n, 9, seed=n) for n in window.nelec)
    space = Subspace(window, (strings[0], strings[1]))
    vector = np.random.default_rng(4).normal(size=space.shape)
    absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, window.nelec, 0.5)
    tagged = selected_ci._as_SCIvector(vector, strings)
    expected = selected_ci.contract_2e(ao2mo.restore(1, absorbed, window.norb), tagged, window.norb, window.nelec)
    assert space._image(vector) == pytest.approx(np.asarray(expected), abs=1e-10)
    dense = space._matrix(np.arange(space.size))
    assert (dense @ vector.ravel()).reshape(space.shape) == pytest.approx(space._image(vector), abs=1e-10)


@pytest.mark.parametrize("count", [1, 3])
def test_davidson_finds_what_the_whole_matrix_has(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    window = window_of(WATER)
    strings = some_strings(window.norb, window.nelec[0], 15, seed=2)
    whole = Subspace(window, (strings, strings)).lowest(count, None, quiet())
    monkeypatch.setattr(subspace, "WHOLE_DETERMINANTS", 0)
    found = Subspace(window, (strings, strings)).lowest(count, None, quiet())
    assert found.converged
    assert found.energies == pytest.approx(whole.energies, abs=1e-8)
    again = Subspace(window, (strings, strings)).lowest(count, found, quiet())
    assert again.energies == pytest.approx(whole.energies, abs=1e-8)


def test_the_size_that_is_priced_is_the_size_that_is_refused() -> None:
    most = 64 * 1e6 / 8 / SUBSPACE_VECTORS
    subspace.refuse_size(int(most), 64, "take less")
    with pytest.raises(TooLarge, match="take less"):
        subspace.refuse_size(int(most) + 1, 64, "take less")


def test_strings_with_other_electrons_are_refused() -> None:
    window = window_of(H2)
    with pytest.raises(ValueError, match="1 electrons"):
        Subspace(window, (np.array([1, 3]), np.array([1])))


def test_vectors_move_to_another_space_by_their_strings() -> None:
    window = window_of(WATER)
    every = cistring.make_strings(range(window.norb), window.nelec[0])
    small = Subspace(window, (every[:8], every[:8])).lowest(1, None, quiet())
    moved = small.on((every, every))[0]
    assert moved[:8, :8] == pytest.approx(small.vectors[0])
    assert np.linalg.norm(moved) == pytest.approx(1)
    assert small.on((every[:8], every[:8]))[0] == pytest.approx(small.vectors[0])
