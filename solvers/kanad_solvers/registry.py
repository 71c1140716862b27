"""Every method, the tasks it can do, and the module that solves it: the one table that the rest reads."""

from __future__ import annotations

import msgspec

from kanad_solvers import spec


class MethodEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One method: its options (a struct of `spec`), its tasks by name, and where `solve` lives."""

    title: str
    options: type[spec.Method]
    tasks: tuple[str, ...]
    module: str


METHODS: dict[str, MethodEntry] = {
    "hf": MethodEntry(
        title="Hartree-Fock",
        options=spec.HartreeFock,
        tasks=("energy", "excited_states"),
        module="kanad_solvers.mean_field",
    ),
    "fci": MethodEntry(
        title="Full configuration interaction",
        options=spec.FullCI,
        tasks=("energy", "excited_states"),
        module="kanad_solvers.full_ci",
    ),
    "sqd": MethodEntry(
        title="Sample-based quantum diagonalisation",
        options=spec.SampleBasedDiagonalization,
        tasks=("energy",),
        module="kanad_solvers.sqd",
    ),
    "vqe": MethodEntry(
        title="Variational quantum eigensolver",
        options=spec.VariationalEigensolver,
        tasks=("energy",),
        module="kanad_solvers.vqe",
    ),
}

TASKS: dict[str, tuple[str, type[spec.Task]]] = {
    "energy": ("Total energy and properties", spec.Energy),
    "excited_states": ("Electronic states above the ground state", spec.ExcitedStates),
}
