"""One experiment from spec to result: find the method, let it work, stamp the result with its origin.

Only a worker loads this module's callees: PySCF and numpy are imported when a run begins.
"""

from __future__ import annotations

import importlib
import math
import platform
import resource
import threading
import time
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from kanad_solvers import conventions, registry
from kanad_solvers.errors import Cancelled, InvalidSpec, NotConverged
from kanad_solvers.memory import Memory
from kanad_solvers.progress import Convergence, Geometry, IsCancelled, Log, Point, Progress, Report, Stage, State
from kanad_solvers.result import ElectronicState, Provenance, Result
from kanad_solvers.spec import Spec, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kanad_solvers.active_space import Window
    from kanad_solvers.prepare import Parsed
    from kanad_solvers.properties import Array

HEARTBEAT_S = 2.0


class Watch:
    """What a solver talks to while it works: reports go out, a wish to end comes in.

    Every call that reports looks at the cancel flag first, so a solver that reports each iteration can be
    ended within one iteration.
    """

    def __init__(self, report: Report, cancelled: IsCancelled, memory: Memory | None = None) -> None:
        self._report = report
        self.cancelled = cancelled
        self.memory = memory or Memory()
        self._last_energy: float | None = None
        self._beat_at = time.monotonic()
        self.warnings: list[str] = []
        self.energies_only = self.has_left_out = False
        self.integrals: tuple[bytes, Array] | None = None
        self.field: Any = None
        self.window: Window | None = None
        self.qasm: str | None = None

    def check(self) -> None:
        """Raises Cancelled when somebody asked for the end."""
        if self.cancelled():
            raise Cancelled

    def report(self, progress: Progress) -> None:
        """Sends one report.

        Raises:
            Cancelled: somebody asked for the end.
        """
        self.check()
        self._report(progress)

    def stage(self, stage: int, last_stage: int, message: str, energy_hartree: float | None = None) -> None:
        """Reports that step `stage` of 0 .. `last_stage` is done."""
        energy = None if energy_hartree is None else float(energy_hartree)
        self.report(Stage(stage=stage, last_stage=last_stage, message=message, energy_hartree=energy))

    def converge(
        self,
        series: str,
        iteration: int,
        energy_hartree: float,
        delta_hartree: float | None = None,
        residual: float | None = None,
    ) -> None:
        """Reports one iteration of `series`; all energies are total energies.

        Raises:
            Cancelled: somebody asked for the end.
            NotConverged: the energy is not finite; carries the last one that was.
        """
        if not math.isfinite(energy_hartree):
            raise NotConverged(
                f"{series} iteration {iteration} gave the energy {energy_hartree}; try another geometry or basis",
                series=series,
                iteration=iteration,
                last_energy_hartree=self._last_energy,
            )
        self._last_energy = float(energy_hartree)
        self.report(
            Convergence(
                series=series,
                iteration=iteration,
                energy_hartree=float(energy_hartree),
                delta_hartree=_finite(delta_hartree),
                residual=_finite(residual),
            )
        )

    def state(self, state: ElectronicState) -> None:
        """Reports one electronic state as it stands in the result."""
        self.report(
            State(
                index=state.index,
                energy_hartree=state.energy_hartree,
                excitation_ev=state.excitation_ev,
                oscillator_strength=state.oscillator_strength,
                s_squared=state.s_squared,
            )
        )

    def geometry(
        self, step: int, energy_hartree: float, max_gradient: float | None, coordinates: Sequence[Sequence[float]]
    ) -> None:
        """Reports one frame of an optimisation; coordinates in angstrom, shape (natm, 3)."""
        rows = tuple((float(x), float(y), float(z)) for x, y, z in coordinates)
        self.report(
            Geometry(
                step=step,
                energy_hartree=float(energy_hartree),
                max_gradient=_finite(max_gradient),
                coordinates_angstrom=rows,
            )
        )

    def point(self, index: int, value: float, energy_hartree: float) -> None:
        """Reports one point of a scan."""
        self.report(Point(index=index, value=float(value), energy_hartree=float(energy_hartree)))

    def beat(self, what: str, done: int, total: int) -> None:
        """Says how far a step is that has no iterations; at most every two seconds, so call it freely."""
        self.check()
        if time.monotonic() - self._beat_at >= HEARTBEAT_S and total > 0:
            self._beat_at = time.monotonic()
            self.report(Log(message=f"{what}: {100 * done // total}%"))

    @contextmanager
    def beating(self, what: str, expected_s: float) -> Iterator[None]:
        """Says every two seconds how far a single call into C should be, by the time that was expected of it."""
        self.check()
        if expected_s < HEARTBEAT_S:
            yield
            return
        done, begun = threading.Event(), time.monotonic()

        def tick() -> None:
            while not done.wait(HEARTBEAT_S):
                spent = time.monotonic() - begun
                share = min(99, round(100 * spent / expected_s))
                try:
                    self.report(Log(message=f"{what}: {spent:.0f} s, about {share}%"))
                except Cancelled:
                    return  # the solver's own thread raises it after the call

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:  # nobody else reports before the ticker has ended
            done.set()
            ticker.join()
        self.check()

    def repulsion(self, key: bytes, compute: Callable[[], Array]) -> Array:
        """Two-electron integrals of the geometry that `key` names."""
        return compute()

    def keep_orbitals(self, field: Any, window: Window | None = None) -> None:
        """Remembers the PySCF object whose orbitals belong to the result, and the window if there is one."""
        self.field, self.window = field, window

    def recall(self, group: str, words: str) -> dict[str, Array] | None:
        """Arrays that an earlier solve kept; says so when they come from the checkpoint of a lost attempt."""
        found = self.memory.recall(group)
        if found is not None and self.memory.was_loaded(group):
            self.info(f"continuing from the checkpoint of the last attempt: {words}")
        return found

    def info(self, message: str) -> None:
        """Tells the person who watches."""
        self.report(Log(message=message))

    def warn(self, message: str) -> None:
        """Tells the person who watches, and keeps the sentence for the result."""
        self.warnings.append(message)
        self.report(Log(level="warning", message=message))


class InnerWatch(Watch):
    """The watch of a solve inside another: iterations are counted on, warnings and memory shared, stages left out.

    `mute` drops convergence and log reports too; with `energies_only` a solver may leave out costly properties, and
    then sets `has_left_out`. Two-electron integrals of the last geometry are shared.
    """

    def __init__(
        self, outer: Watch, *, mute: bool = False, energies_only: bool = False, memory: Memory | None = None
    ) -> None:
        super().__init__(outer.report, outer.cancelled, memory or outer.memory)
        self.energies_only = energies_only
        self._outer, self._mute = outer, mute
        self._before: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    def keep_orbitals(self, field: Any, window: Window | None = None) -> None:
        """Remembers them for the outer task too."""
        super().keep_orbitals(field, window)
        self._outer.keep_orbitals(field, window)

    def repulsion(self, key: bytes, compute: Callable[[], Array]) -> Array:
        """Two-electron integrals, those of the last call where they are of the same geometry."""
        if not self.energies_only:
            return compute()
        kept = self._outer.integrals
        if kept is None or kept[0] != key:
            self._outer.integrals = None  # freed before new ones are made
            kept = self._outer.integrals = (key, compute())
        return kept[1]

    def next(self) -> InnerWatch:
        """The same watch, for the next solve."""
        self._before = dict(self._latest)
        return self

    def report(self, progress: Progress) -> None:
        """Sends on what a person who watches the outer task wants to see."""
        self.check()
        if isinstance(progress, Stage | State) or self._mute:
            return
        if isinstance(progress, Convergence):
            iteration = self._before.get(progress.series, 0) + progress.iteration
            self._latest[progress.series] = iteration
            progress = msgspec.structs.replace(progress, iteration=iteration)
        self._outer.report(progress)

    def warn(self, message: str) -> None:
        """Keeps the sentence once."""
        if message not in self._outer.warnings:
            self._outer.warn(message)


class Solver(Protocol):
    """The function `solve` that every method's module has."""

    def __call__(self, spec: Spec, molecule: Parsed, watch: Watch) -> Result:
        """The result of the method, without geometry, provenance and the warnings that `watch` keeps."""


def run(
    spec: Spec, report: Report, cancelled: IsCancelled, memory: Memory | None = None, keep: Path | None = None
) -> Result:
    """The finished result of one experiment.

    Args:
        spec: a checked spec (`prepare`).
        report: takes every report as it comes; may coalesce.
        cancelled: looked at on every iteration.
        memory: what an earlier attempt left, and where this one writes its checkpoint.
        keep: file for the orbitals (`wavefunction.Wavefunction`); none is written without it.

    Raises:
        Cancelled: `cancelled` said so.
        InvalidSpec: the molecule, or the combination of method and task, cannot be computed.
        NotConverged: no finite number came out.
    """
    # Here, not at the top: this import loads RDKit and numpy.
    from kanad_solvers.molecule import parse

    clock = _Clock()
    watch = Watch(report, cancelled, memory)
    watch.check()
    molecule = parse(spec.molecule)
    result = _solver(spec)(spec, molecule, watch)
    result = msgspec.structs.replace(
        result,
        geometry=result.geometry or (molecule.geometry if molecule.geometry.symbols else None),
        warnings=_without_repeats(*molecule.warnings, *_conventions(spec), *watch.warnings, *result.warnings),
        provenance=clock.provenance(
            seed=getattr(spec.method, "seed", None), followed=conventions.applied(spec, molecule.geometry.symbols)
        ),
    )
    _refuse_nonfinite(result)
    if keep is not None and watch.field is not None and result.scan is None:
        _keep_orbitals(
            keep, spec, msgspec.structs.replace(molecule, geometry=result.geometry or molecule.geometry), watch
        )
    return result


def _keep_orbitals(path: Path, spec: Spec, molecule: Parsed, watch: Watch) -> None:
    """Writes the orbitals beside the result; a full disk costs the files that are made of them, never the result."""
    from kanad_solvers import wavefunction

    if molecule.orbitals is not None and watch.qasm is None:
        return
    kept = wavefunction.encode(wavefunction.capture(watch.field, spec, molecule, watch.window, watch.qasm))
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(kept)
        beside.replace(path)
    except OSError as error:
        watch.warn(f"the orbitals could not be kept ({error.strerror}): files made of them will be missing")


def _solver(spec: Spec) -> Solver:
    """The `solve` for the spec's method and task, or InvalidSpec for a task that the method cannot do."""
    tag, task = name_of(spec.method), name_of(spec.task)
    entry = registry.METHODS.get(tag)
    if entry is None:
        raise InvalidSpec.at("$.method.name", f"no solver for {tag!r}; choose of {sorted(registry.METHODS)}")
    if task not in entry.tasks:
        raise InvalidSpec.at("$.task.name", f"{tag} cannot do {task!r}; it can do {list(entry.tasks)}")
    return cast("Solver", importlib.import_module(registry.module_of(tag, task)).solve)


def method_solver(spec: Spec) -> Solver:
    """The `solve` of the spec's method for single energies, whatever the task."""
    return cast("Solver", importlib.import_module(registry.METHODS[name_of(spec.method)].module).solve)


class _Clock:
    """Wall time, CPU time and peak memory since it was made."""

    def __init__(self) -> None:
        _forget_peak_memory()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def provenance(self, seed: int | None, followed: tuple[str, ...]) -> Provenance:
        from pyscf import lib

        return Provenance(
            versions=_versions(),
            wall_s=time.perf_counter() - self._wall,
            cpu_s=time.process_time() - self._cpu,
            peak_rss_mb=_peak_rss_mb(),
            threads=int(lib.num_threads()),
            seed=seed,
            conventions=followed,
        )


def _forget_peak_memory() -> None:
    """Starts the kernel's high-water mark anew: a warm worker must not report an earlier run's memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the mark is then that of the whole process


def _peak_rss_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    import numpy
    import pyscf
    import scipy

    return {
        "kanad_solvers": _own_version(),
        "pyscf": pyscf.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kanad-server")  # both packages are released as one
    except PackageNotFoundError:
        return "not installed"


def _conventions(spec: Spec) -> list[str]:
    """What a chemist must know to compare with another program's numbers."""
    basis = spec.basis.lower()
    polarised = any(mark in basis for mark in ("*", "(d", "(2d", "(3d"))
    if not (basis.startswith(("6-31g", "6-31+")) and polarised):
        return []
    kinds = ["spherical (5d)", "cartesian (6d)"]
    used, other = reversed(kinds) if spec.cartesian else kinds
    return [f"{spec.basis} was used with {used} functions; energies from {other} functions differ"]


def _without_repeats(*sentences: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _refuse_nonfinite(result: Result) -> None:
    """Raises NotConverged when any number of the result is NaN or infinite."""
    path = _nonfinite_path(msgspec.to_builtins(result), "$")
    if path is not None:
        raise NotConverged(f"the result has a number that is not finite at {path}", path=path)


def _nonfinite_path(value: object, path: str) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    if isinstance(value, dict):
        children = ((item, f"{path}.{key}") for key, item in value.items())
    elif isinstance(value, list | tuple):
        children = ((item, f"{path}[{index}]") for index, item in enumerate(value))
    else:
        return None
    return next((found for item, where in children if (found := _nonfinite_path(item, where))), None)
