"""How fast the solvers are: ratios against a plain PySCF script's solve, alternating on the same machine.

Run with `python bench/solvers.py [rounds]`. Prints medians in milliseconds; asserts nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads: workers run with one thread

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from pyscf import gto, scf
from pyscf.scf import hf

from kanad_solvers.run import run
from kanad_solvers.spec import Spec

HYDROGEN = [("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.7414))]
LITHIUM_HYDRIDE = [("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.5949))]
WATER = [("O", (0.0, 0.0, 0.1173)), ("H", (0.0, 0.7572, -0.4692)), ("H", (0.0, -0.7572, -0.4692))]

Geometry = list[tuple[str, tuple[float, float, float]]]


def ours(geometry: Geometry, basis: str, method: dict[str, Any]) -> Callable[[], float]:
    """A whole run, from decoded spec to result, properties included."""
    atoms = [{"symbol": symbol, "position_angstrom": position} for symbol, position in geometry]
    spec = msgspec.convert({"molecule": {"atoms": atoms}, "basis": basis, "method": method}, Spec)
    return lambda: run(spec, lambda _: None, lambda: False).energy_hartree


def script(geometry: Geometry, basis: str) -> Callable[[], float]:
    """What a person writes: the energy only, no properties."""
    text = "; ".join(f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in geometry)

    def solve() -> float:
        muted = hf.MUTE_CHKFILE
        hf.MUTE_CHKFILE = False  # our solver switches it off for the whole process; a script has it on
        try:
            return float(scf.RHF(gto.M(atom=text, basis=basis, verbose=0)).kernel())
        finally:
            hf.MUTE_CHKFILE = muted

    return solve


def milliseconds(work: Callable[[], float]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def compare(name: str, geometry: Geometry, basis: str, rounds: int) -> None:
    """Prints both medians and their ratio."""
    mine, theirs = ours(geometry, basis, {"name": "hf"}), script(geometry, basis)
    difference = abs(mine() - theirs())
    pairs = [(milliseconds(mine), milliseconds(theirs)) for _ in range(rounds)]
    here, there = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{name:14} ours {here:8.2f} ms   plain PySCF {there:8.2f} ms   ratio {there / here:5.2f}   "
        f"|dE| {difference:.0e}"
    )


def measure(name: str, work: Callable[[], float], reach_ms: float, rounds: int) -> None:
    """Prints a median beside what it should reach."""
    work()
    median = statistics.median(milliseconds(work) for _ in range(rounds))
    print(f"{name:14} ours {median:8.2f} ms   to reach    {reach_ms:8.0f} ms")


def main(rounds: int) -> None:
    compare("H2/STO-3G HF", HYDROGEN, "sto-3g", rounds)
    compare("H2O/6-31G* HF", WATER, "6-31g*", rounds)
    for name, geometry, reach_ms in (
        ("H2 VQE", HYDROGEN, 100),
        ("LiH VQE", LITHIUM_HYDRIDE, 500),
        ("H2O VQE", WATER, 500),
    ):
        measure(name, ours(geometry, "sto-3g", {"name": "vqe"}), reach_ms, max(3, rounds // 5))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
