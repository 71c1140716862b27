"""SQD against qiskit-addon-sqd on the same bitstrings, batches and iterations, alternating on the same machine.

Run with `make bench-sqd`, or `python bench/sqd.py PYTHON [rounds]`, where PYTHON is an interpreter that has
qiskit-addon-sqd (in a virtual environment of its own). One seed a round. Prints median times, their ratio and mean
energies; asserts nothing. Both sides hold the Hartree-Fock configuration. Start-up and
compilation of the other side are not counted: it solves once before.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads: workers run with one thread

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kanad_solvers import active_space, mole
from kanad_solvers.molecule import parse
from kanad_solvers.run import Watch, run
from kanad_solvers.spec import Spec

NORB, NELEC = 16, (5, 5)
SAMPLES, BATCH, BATCHES, ITERATIONS = 2_000, 50, 2, 5
SPEC: dict[str, Any] = {
    "molecule": {"atoms": [{"symbol": "N", "position_angstrom": [0, 0, z]} for z in (0.0, 1.0)]},
    "basis": "6-31g",
    "active_space": {"electrons": 10, "orbitals": NORB},
}

OTHER = """
import json, sys, time
from functools import partial
import numpy as np
from qiskit_addon_sqd.fermion import SCIResult, diagonalize_fermionic_hamiltonian, solve_sci_batch
data = np.load(sys.argv[1])
options = json.loads(sys.argv[2])
def solve():
    best = []
    def note(results):
        best.append(min(result.energy for result in results))
    diagonalize_fermionic_hamiltonian(
        data["h1"], data["eri"], bitstrings, samples_per_batch=options["batch"],
        norb=options["norb"], nelec=tuple(options["nelec"]), num_batches=options["batches"],
        energy_tol=0.0, occupancies_tol=0.0, max_iterations=options["iterations"],
        sci_solver=partial(solve_sci_batch, spin_sq=0.0, max_cycle=200),
        include_configurations=[(1 << options["nelec"][0]) - 1], symmetrize_spin=True, callback=note,
        seed=options["seed"])
    return min(best)
from qiskit.primitives import BitArray
bitstrings = BitArray.from_bool_array(data["bits"])
solve()
print("ready", flush=True)
for line in sys.stdin:
    options["seed"] = int(line)
    begun = time.perf_counter()
    energy = solve() + float(data["core"])
    print(json.dumps([time.perf_counter() - begun, energy]), flush=True)
"""


def hamiltonian() -> dict[str, Any]:
    """One- and two-body integrals of the window, and the core energy, hartree."""
    from pyscf import ao2mo

    spec = msgspec.convert(SPEC | {"method": {"name": "sqd"}}, Spec)
    window = active_space.reference_window(
        spec, mole.build(spec, parse(spec.molecule)), Watch(lambda _: None, lambda: False)
    )
    return {"h1": window.h1, "eri": ao2mo.restore(1, window.eri, NORB), "core": window.core_energy}


def main(interpreter: str, rounds: int) -> None:
    """Prints the comparison."""
    rng = np.random.default_rng(24)
    bits = rng.integers(0, 2, (SAMPLES, 2 * NORB)).astype(bool)
    keys = ["".join("1" if bit else "0" for bit in row) for row in bits]
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    method = {
        "name": "sqd", "sampler": "counts", "counts": counts, "samples_per_batch": BATCH, "n_batches": BATCHES,
        "max_iterations": ITERATIONS, "seed": 1,
    }  # fmt: skip
    spec = msgspec.convert(SPEC | {"method": method}, Spec)
    options = {"batch": BATCH, "batches": BATCHES, "iterations": ITERATIONS, "norb": NORB, "nelec": NELEC, "seed": 1}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, bits=bits, **hamiltonian())
        other = subprocess.Popen(
            [interpreter, "-c", OTHER, str(data), json.dumps(options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        pairs = []
        for seed in range(rounds):
            begun = time.perf_counter()
            spec = msgspec.convert(SPEC | {"method": method | {"seed": seed}}, Spec)
            ours = run(spec, lambda _: None, lambda: False)
            mine = time.perf_counter() - begun
            other.stdin.write(f"{seed}\n")
            other.stdin.flush()
            theirs, energy = json.loads(other.stdout.readline())
            pairs.append((mine, theirs, ours.energy_hartree, energy))
        other.stdin.close()
        other.wait()
    times, other_times, energies, other_energies = zip(*pairs, strict=True)
    here, there = statistics.median(times), statistics.median(other_times)
    mean, other_mean = statistics.fmean(energies), statistics.fmean(other_energies)
    print(f"SQD N2/6-31G (10e,16o), {SAMPLES} bitstrings, {BATCHES} batches of {BATCH}, {ITERATIONS} iterations")
    print(f"ours               {here:7.2f} s   mean {mean:.6f} Eh (whole run, SCF and comparisons included)")
    print(f"qiskit-addon-sqd   {there:7.2f} s   mean {other_mean:.6f} Eh (without SCF)")
    print(f"ratio              {there / here:7.2f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
