"""Full configuration interaction: the exact answer in a window of orbitals, by Davidson's method.

Small spaces are diagonalised whole, so that no root can be missed. Larger ones ask for more roots than
wanted, start from the exact eigenvectors over the lowest determinants, and sort and cut at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo, lib
from pyscf.fci import cistring, direct_spin0, direct_spin1, spin_op
from pyscf.scf import hf

from kanad_solvers import active_space, mean_field, mole, properties
from kanad_solvers.active_space import Window
from kanad_solvers.errors import InvalidSpec, TooLarge
from kanad_solvers.gradients import numerical_gradient
from kanad_solvers.properties import DEGENERATE_HARTREE, Array
from kanad_solvers.result import ElectronicState, Result
from kanad_solvers.run import Watch
from kanad_solvers.spec import Configurations, ExcitedStates, Spec, name_of
from kanad_solvers.symmetric_ci import IRREPS, SymmetricSpace

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

Wanted: TypeAlias = Literal["singlet", "triplet", "any"]

WHOLE_DETERMINANTS = 500  # up to here a dense matrix is as fast as Davidson and cannot miss a root
GUESS_DETERMINANTS = 400
NEAR_HARTREE = 0.1  # picked: roots of another irrep may sink by that much from the guess to the solution
ENERGY_TOLERANCE = 1e-10  # hartree, change per cycle; residuals of 1e-5 go with it, so errors stay below 1e-9
MAX_CYCLES = 200
COMPARED_DETERMINANTS = 20_000  # full CI beside another method takes less than a second up to here
MAX_ROUNDS = 4
WIDE_ORBITALS = 64  # PySCF packs strings of its small Hamiltonian into 64 bits
INDEPENDENT = 1e-3  # norm of what is left of a start vector; antisymmetric ones vanish


@dataclass(frozen=True, kw_only=True)
class Roots:
    """Eigenstates in one sector, lowest first.

    Attributes:
        nelec: (alpha, beta) electrons of the sector.
        energies: total energies, shape (n,), hartree.
        vectors: n CI matrices, each shape (na, nb) over alpha and beta strings.
        s_squared: <S^2> of each, shape (n,).
        converged: whether every root met the tolerance.
    """

    nelec: tuple[int, int]
    energies: Array
    vectors: list[Array]
    s_squared: Array
    converged: bool

    def part(self, which: slice | NDArray[np.intp]) -> Roots:
        """Some of the roots, in the order given."""
        chosen = np.arange(len(self.vectors))[which]
        return Roots(
            nelec=self.nelec,
            energies=self.energies[chosen],
            vectors=[self.vectors[index] for index in chosen],
            s_squared=self.s_squared[chosen],
            converged=self.converged,
        )


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The lowest states, their S^2, transitions from the ground state, and the ground state's properties.

    Raises:
        InvalidSpec: the window, the spin or the number of states does not fit the molecule.
        NotConverged: the reference gave no finite energy.
        TooLarge: more orbitals than a string has bits for.
    """
    last = 3
    window = active_space.reference_window(spec, mole.build(spec, molecule), watch)
    watch.stage(0, last, "HF reference computed", window.hf_energy)
    ground, above = _wanted(spec, window, watch)
    watch.stage(1, last, "Hamiltonian diagonalised", float(ground.energies[0]))
    states = electronic_states(window, ground, above)
    for state in states:
        watch.state(state)
    watch.stage(2, last, "States assigned", float(ground.energies[0]))
    gradient = numerical_gradient(solve, spec, molecule, watch)
    result = _result(spec, window, ground, above, states, gradient, watch)
    watch.stage(3, last, "Properties computed", result.energy_hartree)
    return result


def ground_energy(window: Window, spin: Wanted, watch: Watch) -> float:
    """The exact total energy in the window, hartree, to compare with; reports nothing."""
    return float(lowest(window, 1, spin, watch, quiet=True).energies[0])


def compare(window: Window, spin: Wanted, watch: Watch) -> dict[str, float]:
    """Energies to set beside the method's: Hartree-Fock always, full CI of that spin where it is cheap."""
    energies = {"hf": window.hf_energy}
    if watch.energies_only:
        watch.has_left_out = True
    elif window.determinants <= COMPARED_DETERMINANTS:
        energies["fci"] = ground_energy(window, spin, watch)
    return energies


def _wanted(spec: Spec, window: Window, watch: Watch) -> tuple[Roots, Roots]:
    """The ground state, and the states to list above it."""
    task = spec.task
    if isinstance(task, ExcitedStates):
        spin = _spin_that_exists(task.spin, window, watch)
        if spin == "triplet":
            return lowest(window, 1, "singlet", watch), lowest(window, task.n_states, "triplet", watch)
        return _split(lowest(window, task.n_states + 1, spin, watch))
    assert isinstance(spec.method, Configurations)
    return _split(lowest(window, spec.method.n_states, spec.method.spin, watch))


def _spin_that_exists(spin: Wanted, window: Window, watch: Watch) -> Wanted:
    if spin == "any" or window.nelec[0] == window.nelec[1]:
        return spin
    watch.warn(f"{spin} states are told apart for closed shells only; states of any spin are listed with S^2")
    return "any"


def _split(roots: Roots) -> tuple[Roots, Roots]:
    return roots.part(slice(0, 1)), roots.part(slice(1, None))


def _result(
    spec: Spec,
    window: Window,
    ground: Roots,
    above: Roots,
    states: tuple[ElectronicState, ...],
    gradient: Array | None,
    watch: Watch,
) -> Result:
    energy = float(ground.energies[0])
    if not (ground.converged and above.converged):
        watch.warn("not every root met the convergence tolerance; energies are upper bounds")
    sentence = active_space.other_spin(window, ground.s_squared[0])
    if sentence is not None:
        watch.warn(sentence)
    rdm1 = direct_spin1.make_rdm1s(ground.vectors[0], window.norb, ground.nelec)
    return Result(
        energy_hartree=energy,
        converged=ground.converged and above.converged and bool(window.field.converged),
        components=mean_field.components(window.field) | {"correlation_hartree": energy - window.hf_energy},
        reference=mean_field.describe(window.field),
        states=states,
        orbitals=properties.orbitals(window.field.mo_energy, window.field.mo_occ),
        properties=active_space.correlated_properties(window, rdm1, name_of(spec.method), gradient),
        comparisons={"hf": window.hf_energy},
    )


# States


def electronic_states(window: Window, ground: Roots, above: Roots) -> tuple[ElectronicState, ...]:
    """The ground state and those above it, with dipole transitions from the ground state (length gauge)."""
    dipole = active_space.active_dipole(window)

    def moment(vector: Array) -> Array | None:
        if dipole is None:
            return None
        if above.nelec != ground.nelec:
            return np.zeros(3)
        density = direct_spin1.trans_rdm1(ground.vectors[0], vector, window.norb, ground.nelec)
        return np.asarray(np.einsum("xpq,pq->x", dipole, density))

    return properties.electronic_states(
        [ground.energies[0], *above.energies],
        [ground.s_squared[0], *above.s_squared],
        map(moment, above.vectors),
    )


# Roots


def lowest(window: Window, count: int, spin: Wanted, watch: Watch, quiet: bool = False) -> Roots:
    """The `count` lowest states of one spin.

    `singlet` and `triplet` are solved where they are lowest (M_s = 0 and 1) and sorted out by S^2; `any`
    takes the M_s of the molecule, and every spin that shows there.

    Raises:
        InvalidSpec: there are fewer such states in the window.
    """
    nelec = sector(window, spin)
    space = _Space(window, nelec, spin, watch, quiet)
    asked = min(space.size, count if count == 1 else count + max(2, count // 2))
    for _ in range(MAX_ROUNDS):
        roots = _of_spin(space.roots(asked), spin)
        if len(roots.vectors) >= count or asked == space.size:
            break
        asked = min(space.size, 2 * asked + 2)
    if len(roots.vectors) < count:
        kind = "" if spin == "any" else f"{spin} "
        raise InvalidSpec.at(
            "$.method.n_states",
            f"{len(roots.vectors)} {kind}states were found in this window, {count} asked for",
        )
    return roots.part(slice(0, count))


def sector(window: Window, spin: Wanted) -> tuple[int, int]:
    """(alpha, beta) electrons of the M_s in which states of that spin are lowest.

    Raises:
        InvalidSpec: the electrons have no such states.
    """
    total = sum(window.nelec)
    if spin == "any":
        return window.nelec
    unpaired = 0 if spin == "singlet" else 2
    alpha, beta = (total + unpaired) // 2, (total - unpaired) // 2
    if total % 2 or beta < 0 or alpha > window.norb:
        raise InvalidSpec.at(
            "$.method.spin", f"{total} electrons in {window.norb} orbitals have no {spin} states; use any"
        )
    return alpha, beta


def _of_spin(roots: Roots, spin: Wanted) -> Roots:
    if spin == "any":
        return roots
    target = 0.0 if spin == "singlet" else 2.0
    return roots.part(np.flatnonzero(np.abs(roots.s_squared - target) < active_space.PURE_SPIN))


class _Space:
    """All determinants of one sector, and the Hamiltonian over them."""

    def __init__(self, window: Window, nelec: tuple[int, int], spin: Wanted, watch: Watch, quiet: bool) -> None:
        if window.norb >= WIDE_ORBITALS and sum(nelec) > 2:
            raise TooLarge(
                f"full CI takes fewer than {WIDE_ORBITALS} orbitals for more than two electrons, "
                f"got {window.norb}; take an active space",
                orbitals=window.norb,
                limit=WIDE_ORBITALS - 1,
            )
        self._window, self._nelec, self._watch, self._quiet = window, nelec, watch, quiet
        self._shape = (comb(window.norb, nelec[0]), comb(window.norb, nelec[1]))
        self.size = self._shape[0] * self._shape[1]
        # Singlets have symmetric CI matrices: half the work, and no triplet can appear.
        self._symmetric = spin == "singlet"
        self._diagonal = direct_spin1.make_hdiag(window.h1, window.eri, window.norb, nelec, compress=False)

    def roots(self, count: int) -> Roots:
        """The `count` lowest eigenstates, of any spin that the sector holds."""
        if self.size <= WHOLE_DETERMINANTS and self._window.norb < WIDE_ORBITALS:
            energies, vectors, converged = self._whole(count)
        else:
            energies, vectors, converged = self._davidson(count)
        energies = energies + self._window.core_energy
        norb, nelec = self._window.norb, self._nelec
        matrices = [vector.reshape(self._shape) for vector in vectors]
        energies, matrices, spins = purify(energies, matrices, lambda v: apply_s_squared(v, norb, nelec))
        return Roots(nelec=nelec, energies=energies, vectors=matrices, s_squared=spins, converged=converged)

    def _whole(self, count: int) -> tuple[Array, list[Array], bool]:
        window = self._window
        _, matrix = direct_spin1.pspace(window.h1, window.eri, window.norb, self._nelec, self._diagonal, self.size)
        energies, vectors = np.linalg.eigh(matrix)
        if not self._quiet:
            self._watch.converge("davidson", 1, float(energies[0]) + window.core_energy, residual=0.0)
        return energies[:count], list(vectors.T[:count]), True

    def _davidson(self, count: int) -> tuple[Array, list[Array], bool]:
        if self._window.orbsym is not None and self._nelec != (1, 1) and min(self._nelec) > 0:
            return self._by_irrep(count)
        image = self._pair_image() if self._nelec == (1, 1) else self._string_image()
        guesses = self._guesses(count)
        whole = lambda vector: image(vector.reshape(self._shape)).ravel()  # noqa: E731
        return self._iterate(whole, guesses, self._diagonal)

    def _by_irrep(self, count: int) -> tuple[Array, list[Array], bool]:
        """The lowest roots out of every irreducible representation that may hold one of them."""
        window = self._window
        absorbed, links = self._absorbed(), self._links()
        space = SymmetricSpace(window, self._nelec, absorbed, links)
        energies, vectors, converged = [], [], True
        for irrep, guesses in self._guesses_by_irrep(space, count).items():
            places = space.addresses(irrep)
            image = self._symmetric_image(space, irrep, places)
            found = self._iterate(image, [guess[places] for guess in guesses], self._diagonal[places])
            converged = converged and found[2]
            for energy, part in zip(*found[:2], strict=True):
                vector = np.zeros(self.size)
                vector[places] = part
                energies.append(energy)
                vectors.append(vector)
        order = np.argsort(energies, kind="stable")[:count]
        return np.array(energies)[order], [vectors[place] for place in order], converged

    def _symmetric_image(self, space: SymmetricSpace, irrep: int, places: NDArray[np.intp]) -> Callable[[Array], Array]:
        """H within one irrep; singlets keep their symmetric CI matrix against rounding."""
        if not self._symmetric:
            return lambda vector: space.image(vector, irrep)
        rows, columns = np.divmod(places, self._shape[1])
        mirrored = np.argsort(places)[np.searchsorted(np.sort(places), columns * self._shape[1] + rows)]

        def image(vector: Array) -> Array:
            made = space.image(vector, irrep)
            return np.asarray((made + made[mirrored]) / 2)

        return image

    def _guesses_by_irrep(self, space: SymmetricSpace, count: int) -> dict[int, list[Array]]:
        """Start vectors of each irrep in which one of the `count` lowest roots may lie."""
        address, energies, weights = self._lowest_determinants()
        limit = energies[min(count, len(energies)) - 1] + NEAR_HARTREE
        irreps = space.irreps(address)
        made: dict[int, list[Array]] = {}
        for irrep in range(IRREPS):
            inside = weights * (irreps == irrep)[:, None]
            own = np.linalg.norm(inside, axis=0) > 0.5
            wanted = min(count, int((energies[own] <= limit).sum()))
            if wanted:
                columns = self._columns(address, inside[:, own])
                made[irrep] = start_vectors(columns, wanted, self._shape if self._symmetric else None)
        return {irrep: starts for irrep, starts in made.items() if starts}

    def _iterate(
        self, image: Callable[[Array], Array], guesses: list[Array], diagonal: Array
    ) -> tuple[Array, list[Array], bool]:
        """Davidson's method over the vectors that `image` takes."""

        def apply(vectors: list[Array]) -> list[Array]:
            self._watch.check()
            return [image(vector) for vector in vectors]

        converged, energies, vectors = lib.davidson1(
            apply,
            guesses,
            lib.make_diag_precond(diagonal, 1e-3),
            tol=ENERGY_TOLERANCE,
            max_cycle=MAX_CYCLES,
            nroots=len(guesses),
            max_memory=self._window.field.mol.max_memory,
            callback=None if self._quiet else self._meter(),
            verbose=0,
        )
        return np.asarray(energies), list(vectors), bool(np.all(converged))

    def _absorbed(self) -> Array:
        """Two-body integrals that hold the one-body ones too, packed."""
        window = self._window
        absorbed = direct_spin1.absorb_h1e(window.h1, window.eri, window.norb, self._nelec, 0.5)
        return np.asarray(ao2mo.restore(4, absorbed, window.norb))

    def _links(self) -> tuple[Any, Any]:
        """Which strings each a^+_p a_q leads to, for alpha and for beta."""
        alpha, beta = (cistring.gen_linkstr_index_trilidx(range(self._window.norb), n) for n in self._nelec)
        return alpha, beta

    def _string_image(self) -> Callable[[Array], Array]:
        """H on CI matrices by the strings that each a^+_p a_q connects."""
        window, kernel = self._window, direct_spin0 if self._symmetric else direct_spin1
        absorbed, links = self._absorbed(), self._links()

        def image(vector: Array) -> Array:
            if self._symmetric:
                # PySCF's code for singlets is not linear in what rounding leaves of the antisymmetric part, which
                # Davidson's method would let grow until roots fall below the exact ones.
                vector = (vector + vector.T) / 2
            return np.asarray(kernel.contract_2e(absorbed, vector, window.norb, self._nelec, links))

        return image

    def _pair_image(self) -> Callable[[Array], Array]:
        """H on the CI matrix of one electron of each spin: an exchange build, norb^4 instead of norb^6."""
        one_body = self._window.h1
        packed = ao2mo.restore(8, self._window.eri, self._window.norb)

        def image(vector: Array) -> Array:
            _, exchange = hf.dot_eri_dm(packed, vector, hermi=0, with_j=False)
            return np.asarray(one_body @ vector + vector @ one_body + exchange)

        return image

    def _guesses(self, count: int) -> list[Array]:
        """Orthonormal start vectors: eigenvectors of the Hamiltonian over the lowest determinants."""
        address, _, weights = self._lowest_determinants()
        return start_vectors(self._columns(address, weights), count, self._shape if self._symmetric else None)

    def _columns(self, address: NDArray[np.intp], weights: Array) -> Iterable[Array]:
        """Vectors over all determinants, one for each column over the chosen ones, made as they are asked for."""
        for column in weights.T:
            vector = np.zeros(self.size)
            vector[address] = column
            yield vector

    def _lowest_determinants(self) -> tuple[NDArray[np.intp], Array, Array]:
        """The lowest determinants (m places), and eigenvalues (m,), hartree, and eigenvectors (m, m) over them."""
        window = self._window
        if window.norb >= WIDE_ORBITALS:
            address = np.argsort(self._diagonal, kind="stable")[: min(GUESS_DETERMINANTS, self.size)]
            return address, self._diagonal[address], np.eye(len(address))
        address, matrix = direct_spin1.pspace(
            window.h1, window.eri, window.norb, self._nelec, self._diagonal, GUESS_DETERMINANTS
        )
        energies, weights = np.linalg.eigh(matrix)
        return address, energies, weights

    def _meter(self) -> Callable[[dict[str, Any]], None]:
        def report(cycle: dict[str, Any]) -> None:
            energy = float(cycle["e"][0])
            total = energy + self._window.core_energy
            step = None if cycle["icyc"] == 0 else float(np.atleast_1d(cycle["de"])[0])
            norms = cycle.get("dx_norm")
            residual = None if norms is None else float(np.max(norms))
            self._watch.converge("davidson", cycle["icyc"] + 1, total, step, residual)

        return report


def start_vectors(columns: Iterable[Array], count: int, symmetric: tuple[int, int] | None) -> list[Array]:
    """The first `count` orthonormal vectors out of `columns`, for Davidson's method.

    Args:
        symmetric: shape of the CI matrix if its symmetric part is meant; antisymmetric columns then drop out.
    """
    kept: list[Array] = []
    for column in columns:
        vector = column
        if symmetric is not None:
            square = column.reshape(symmetric)
            vector = (square + square.T).ravel() / 2
        for other in kept:
            vector = vector - (other @ vector) * other
        norm = float(np.linalg.norm(vector))
        if norm > INDEPENDENT:
            kept.append(vector / norm)
        if len(kept) == count:
            break
    return kept


def purify(
    energies: Array, vectors: Sequence[Array], apply_s_squared: Callable[[Array], Array]
) -> tuple[Array, list[Array], Array]:
    """Energies, vectors and S^2; degenerate states are rotated among themselves until each has one spin.

    An eigensolver returns any mixture of degenerate states, such as singlet and triplet of two far atoms.
    """
    energies, vectors = np.array(energies), list(vectors)
    spins = np.empty(len(vectors))
    start = 0
    while start < len(vectors):
        stop = start + 1
        while stop < len(vectors) and energies[stop] - energies[stop - 1] < DEGENERATE_HARTREE:
            stop += 1
        group = np.array(vectors[start:stop])
        images = np.array([apply_s_squared(v) for v in group])
        values, turn = np.linalg.eigh(np.einsum("iab,jab->ij", group, images))
        spins[start:stop] = values
        if stop - start > 1:
            vectors[start:stop] = list(np.einsum("ij,iab->jab", turn, group))
            energies[start:stop] = energies[start:stop] @ turn**2
        start = stop
    return energies, vectors, np.maximum(spins, 0)


def expectation_s_squared(vector: NDArray[Any], norb: int, nelec: tuple[int, int]) -> float:
    """<S^2> of a normalised CI matrix, real or complex, shape (na, nb)."""
    parts = [vector.real, vector.imag] if np.iscomplexobj(vector) else [vector]
    return float(sum(np.sum(part * apply_s_squared(np.ascontiguousarray(part), norb, nelec)) for part in parts))


def apply_s_squared(vector: Array, norb: int, nelec: tuple[int, int]) -> Array:
    """S^2 on a CI matrix, shape (na, nb)."""
    if min(nelec) == 0:  # one spin only: an eigenfunction, which PySCF's general code does not take
        half = sum(nelec) / 2
        return half * (half + 1) * vector
    if nelec == (1, 1):  # any number of orbitals: singlets are symmetric, triplets antisymmetric
        return vector - vector.T
    return np.asarray(spin_op.contract_ss(vector, norb, nelec))
