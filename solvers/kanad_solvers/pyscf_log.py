"""What PySCF says only in its log, read line by line: iterations of Davidson's method and of coupled cluster, blocks.

A `LogReader` stands in for the output stream of a PySCF object. It prints nothing; each line that it knows becomes a
report, and each line that comes is a chance to end the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyscf.lib import logger

if TYPE_CHECKING:
    from kanad_solvers.run import Watch

DETAILED = logger.DEBUG1

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_DAVIDSON = re.compile(
    rf"^\s*(?:davidson|lr_eig|real_lr_eig|converged) (\d+) (\d+)\s+\|r\|=\s*{_NUMBER}\s+e=\s*\[?\s*{_NUMBER}"
)
_CLUSTER = re.compile(rf"^\s*cycle = (\d+)\s+E_corr\(\w+\) = {_NUMBER}\s+dE = {_NUMBER}\s+norm\(t1,t2\) = {_NUMBER}")
_LAMBDA = re.compile(rf"^\s*cycle = \d+\s+norm\(lambda1,lambda2\) = {_NUMBER}")
_TRIPLES = re.compile(r"contract (\d+):(\d+),(\d+):(\d+)")


class LogReader:
    """A stream that hands every complete line to `take`."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes in what PySCF prints."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def listen(solver: Any, take: Callable[[str], None], level: int = logger.DEBUG) -> None:
    """Lets `take` hear each line that the PySCF object prints."""
    solver.check_sanity = lambda: solver  # it would print, past the stream, what we set on purpose
    solver.stdout = LogReader(take)
    solver.verbose = level


@contextmanager
def heard(solver: Any, take: Callable[[str], None], level: int = logger.DEBUG) -> Iterator[None]:
    """`listen` for the length of a block."""
    before = solver.stdout, solver.verbose
    listen(solver, take, level)
    try:
        yield
    finally:
        solver.stdout, solver.verbose = before


def atoms(watch: Watch, what: str, total: int) -> Callable[[str], None]:
    """Says how far a step is that PySCF does atom by atom."""
    done = 0

    def take(line: str) -> None:
        nonlocal done
        watch.check()
        if "for atom" in line or "of atom" in line:
            done += 1
            watch.beat(what, min(done, total), total)

    return take


def davidson(watch: Watch, series: str, floor_hartree: float) -> Callable[[str], None]:
    """Reports each cycle of Davidson's method; energies are those of the lowest root above `floor_hartree`."""
    iterations = 0
    last: float | None = None

    def take(line: str) -> None:
        nonlocal iterations, last
        watch.check()
        found = _DAVIDSON.match(line)
        if found is None:
            return
        iterations += 1
        energy = floor_hartree + float(found[4])
        watch.converge(series, iterations, energy, None if last is None else energy - last, float(found[3]))
        last = energy

    return take


def coupled_cluster(watch: Watch, series: str, floor_hartree: float) -> Callable[[str], None]:
    """Reports each cycle of coupled cluster on a reference of energy `floor_hartree`."""

    def take(line: str) -> None:
        watch.check()
        found = _CLUSTER.match(line)
        if found is not None:
            energy = floor_hartree + float(found[2])
            watch.converge(series, int(found[1]), energy, float(found[3]), float(found[4]))

    return take


def lambda_equations(watch: Watch, tolerance: float) -> Callable[[str], None]:
    """Says how far the Lambda equations are, by the decades that their residual has fallen towards `tolerance`."""
    first = 0.0

    def take(line: str) -> None:
        nonlocal first
        watch.check()
        found = _LAMBDA.match(line)
        if found is not None and float(found[1]) > 0:
            residual = float(found[1])
            first = first or max(residual, 10 * tolerance)
            done = 100 * math.log(first / residual) / math.log(first / tolerance)
            watch.beat("Lambda equations", max(0, min(100, round(done))), 100)

    return take


def triples(watch: Watch, virtuals: int) -> Callable[[str], None]:
    """Says how far the perturbative triples are, from the blocks of virtual orbitals that are done."""
    done = 0

    def take(line: str) -> None:
        nonlocal done
        watch.check()
        found = _TRIPLES.search(line)
        if found is not None:
            a0, a1, b0, b1 = (int(part) for part in found.groups())
            done += (a1 - a0) * (b1 - b0)
            total = virtuals * (virtuals + 1) // 2
            watch.beat("perturbative triples", min(done, total), total)

    return take
