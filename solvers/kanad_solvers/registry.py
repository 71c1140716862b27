"""Every method, the tasks it can do, and the modules that solve them: the one table that the rest reads."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kanad_solvers import spec


class MethodEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One method: its options (a struct of `spec`), its tasks by name, and where its `solve` lives.

    `excited_module` is the module for the task `excited_states` where that is another one.
    """

    title: str
    options: type[spec.Method]
    tasks: tuple[str, ...]
    module: str
    excited_module: str | None = None


class TaskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One task: its options (a struct of `spec`), and the module that does it for every method, if there is one."""

    title: str
    options: type[spec.Task]
    module: str | None = None


_ON_MINIMA = ("optimize", "scan")

METHODS: dict[str, MethodEntry] = {
    "hf": MethodEntry(
        title="Hartree-Fock",
        options=spec.HartreeFock,
        tasks=("energy", "excited_states", "optimize", "frequencies", "scan"),
        module="kanad_solvers.mean_field",
        excited_module="kanad_solvers.excited",
    ),
    "dft": MethodEntry(
        title="Density functional theory",
        options=spec.DensityFunctional,
        tasks=("energy", "excited_states", "optimize", "frequencies", "scan"),
        module="kanad_solvers.mean_field",
        excited_module="kanad_solvers.excited",
    ),
    "mp2": MethodEntry(
        title="Second-order Moller-Plesset perturbation theory",
        options=spec.MollerPlesset,
        tasks=("energy", *_ON_MINIMA),
        module="kanad_solvers.correlated",
    ),
    "ccsd": MethodEntry(
        title="Coupled cluster with singles and doubles",
        options=spec.SinglesDoubles,
        tasks=("energy", "excited_states", *_ON_MINIMA),
        module="kanad_solvers.correlated",
        excited_module="kanad_solvers.eom",
    ),
    "ccsd(t)": MethodEntry(
        title="CCSD with perturbative triples",
        options=spec.PerturbativeTriples,
        tasks=("energy", *_ON_MINIMA),
        module="kanad_solvers.correlated",
    ),
    "casci": MethodEntry(
        title="Complete active space configuration interaction",
        options=spec.CompleteActiveSpace,
        tasks=("energy", "excited_states", "scan"),
        module="kanad_solvers.full_ci",
    ),
    "casscf": MethodEntry(
        title="Complete active space self-consistent field",
        options=spec.OptimizedActiveSpace,
        tasks=("energy", "excited_states", *_ON_MINIMA),
        module="kanad_solvers.casscf",
    ),
    "fci": MethodEntry(
        title="Full configuration interaction",
        options=spec.FullCI,
        tasks=("energy", "excited_states", "scan"),
        module="kanad_solvers.full_ci",
    ),
    "selected_ci": MethodEntry(
        title="Selected configuration interaction",
        options=spec.SelectedCI,
        tasks=("energy", "scan"),
        module="kanad_solvers.selected_ci",
    ),
    "sqd": MethodEntry(
        title="Sample-based quantum diagonalisation",
        options=spec.SampleBasedDiagonalization,
        tasks=("energy", "excited_states", "scan"),
        module="kanad_solvers.sqd",
    ),
    "krylov_sqd": MethodEntry(
        title="Krylov sample-based quantum diagonalisation",
        options=spec.KrylovDiagonalization,
        tasks=("energy", "scan"),
        module="kanad_solvers.sqd",
    ),
    "vqe": MethodEntry(
        title="Variational quantum eigensolver",
        options=spec.VariationalEigensolver,
        tasks=("energy", "excited_states", "scan"),
        module="kanad_solvers.vqe",
    ),
    "adapt_vqe": MethodEntry(
        title="Adaptive variational quantum eigensolver",
        options=spec.AdaptiveEigensolver,
        tasks=("energy", "scan"),
        module="kanad_solvers.adapt",
    ),
}

TASKS: dict[str, TaskEntry] = {
    "energy": TaskEntry(title="Total energy and properties", options=spec.Energy),
    "excited_states": TaskEntry(title="Electronic states above the ground state", options=spec.ExcitedStates),
    "optimize": TaskEntry(
        title="Geometry optimisation to a minimum", options=spec.Optimize, module="kanad_solvers.optimize"
    ),
    "frequencies": TaskEntry(
        title="Vibrations, infrared intensities and thermochemistry",
        options=spec.Frequencies,
        module="kanad_solvers.frequencies",
    ),
    "scan": TaskEntry(title="Energies along a coordinate", options=spec.Scan, module="kanad_solvers.scan"),
}

GRADIENT_METHODS = ("hf", "dft", "mp2", "ccsd", "ccsd(t)", "casscf")
"""Methods with analytic nuclear gradients."""


def module_of(method: str, task: str) -> str:
    """The module whose `solve` does `task` with `method`."""
    entry = METHODS[method]
    return TASKS[task].module or (entry.excited_module if task == "excited_states" else None) or entry.module


def modules() -> Iterator[str]:
    """Every module that solves something."""
    for entry in METHODS.values():
        yield from (entry.module, *([entry.excited_module] if entry.excited_module else []))
    yield from (entry.module for entry in TASKS.values() if entry.module)
