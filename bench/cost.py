"""The price of an experiment before it runs, beside what the run took: each case in a process of its own.

Run with `python bench/cost.py [case ...]`. An estimate should be within 3 times of the memory (peak resident set) and
within 5 times of the wall time; asserts nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads: workers run with one thread

import math
import multiprocessing
import sys
import time
from typing import Any

import msgspec

from kanad_solvers import prepare
from kanad_solvers.run import run
from kanad_solvers.spec import Spec

N2 = {"smiles": "N#N"}
WATER = {"smiles": "O"}
BENZENE = {"smiles": "c1ccccc1"}
ETHANOL = {"smiles": "CCO"}
GLYCINE = {"smiles": "NCC(=O)O"}
ETHYLENE = {"smiles": "C=C"}
OXYGEN = {"smiles": "[O][O]", "multiplicity": 3}
HF = {"name": "hf"}


def space(electrons: int, orbitals: int) -> dict[str, Any]:
    return {"active_space": {"electrons": electrons, "orbitals": orbitals}}


CASES: dict[str, dict[str, Any]] = {
    "hf-water": {"molecule": WATER, "method": HF, "basis": "cc-pvdz"},
    "hf-benzene": {"molecule": BENZENE, "method": HF, "basis": "cc-pvdz"},
    "uhf-oxygen": {"molecule": OXYGEN, "method": HF, "basis": "cc-pvtz"},
    "dft-ethanol": {"molecule": ETHANOL, "method": {"name": "dft", "xc": "pbe0"}, "basis": "def2-svp"},
    "dft-glycine": {"molecule": GLYCINE, "method": {"name": "dft", "xc": "b3lyp"}, "basis": "6-31g*"},
    "mp2-ethanol": {"molecule": ETHANOL, "method": {"name": "mp2"}, "basis": "cc-pvdz"},
    "ccsd-water": {"molecule": WATER, "method": {"name": "ccsd"}, "basis": "cc-pvtz"},
    "ccsd-ethylene": {"molecule": ETHYLENE, "method": {"name": "ccsd"}, "basis": "cc-pvdz"},
    "ccsd(t)-ethylene": {"molecule": ETHYLENE, "method": {"name": "ccsd(t)"}, "basis": "cc-pvdz"},
    "eom-water": {
        "molecule": WATER,
        "method": {"name": "ccsd"},
        "basis": "cc-pvdz",
        "task": {"name": "excited_states", "n_states": 3},
    },
    "tddft-ethylene": {
        "molecule": ETHYLENE,
        "method": {"name": "dft", "xc": "pbe0"},
        "basis": "def2-svp",
        "task": {"name": "excited_states", "n_states": 4},
    },
    "casci-n2": {"molecule": N2, "method": {"name": "casci"}, "basis": "cc-pvdz", **space(10, 12)},
    "casscf-n2": {"molecule": N2, "method": {"name": "casscf"}, "basis": "cc-pvdz", **space(6, 6)},
    "fci-water": {"molecule": WATER, "method": {"name": "fci"}, "basis": "6-31g"},
    "fci-n2": {"molecule": N2, "method": {"name": "fci"}, "basis": "6-31g", **space(10, 14)},
    "selected-water": {"molecule": WATER, "method": {"name": "selected_ci"}, "basis": "6-31g"},
    "sqd-n2": {"molecule": N2, "method": {"name": "sqd", "samples_per_batch": 100}, "basis": "6-31g", **space(10, 12)},
    "vqe-n2": {"molecule": N2, "method": {"name": "vqe"}, "basis": "sto-3g"},
    "optimise-ethanol": {"molecule": ETHANOL, "method": HF, "basis": "6-31g*", "task": {"name": "optimize"}},
    "frequencies-ethylene": {
        "molecule": ETHYLENE,
        "method": HF,
        "basis": "6-31g*",
        "task": {"name": "frequencies", "optimize_first": False},
    },
    "hf-caffeine": {"molecule": {"smiles": "Cn1cnc2c1c(=O)n(C)c(=O)n2C"}, "method": HF, "basis": "6-31g"},
    "hf-fit-benzene": {"molecule": BENZENE, "method": HF | {"density_fit": True}, "basis": "cc-pvdz"},
    "hf-cpcm-ethanol": {
        "molecule": ETHANOL,
        "method": HF,
        "basis": "6-31g*",
        "solvent": {"model": "cpcm", "name": "water"},
    },
    "dft-d4-benzene": {
        "molecule": BENZENE,
        "method": {"name": "dft", "xc": "b3lyp", "dispersion": "d4"},
        "basis": "def2-svp",
    },
    "ump2-oxygen": {"molecule": OXYGEN, "method": {"name": "mp2"}, "basis": "cc-pvtz"},
    "uccsd-oxygen": {"molecule": OXYGEN, "method": {"name": "ccsd"}, "basis": "6-31g*"},
    "ueom-hydroxyl": {
        "molecule": {"smiles": "[OH]", "multiplicity": 2},
        "method": {"name": "ccsd"},
        "basis": "6-31g*",
        "task": {"name": "excited_states", "n_states": 3, "spin": "any"},
    },
    "cis-benzene": {
        "molecule": BENZENE,
        "method": HF,
        "basis": "6-31g*",
        "task": {"name": "excited_states", "n_states": 5, "tda": True},
    },
    "krylov-n2": {"molecule": N2, "method": {"name": "krylov_sqd"}, "basis": "6-31g", **space(6, 10)},
    "krylov-water": {"molecule": WATER, "method": {"name": "krylov_sqd"}},
    "sqd-uniform-water": {"molecule": WATER, "method": {"name": "sqd", "sampler": "uniform"}, "basis": "6-31g"},
    "adapt-lih": {"molecule": {"library": "LiH"}, "method": {"name": "adapt_vqe"}},
    "adapt-water": {"molecule": WATER, "method": {"name": "adapt_vqe"}},
    "vqe-water-spsa": {"molecule": WATER, "method": {"name": "vqe", "optimizer": "spsa"}},
    "vqe-lih-layers": {
        "molecule": {"library": "LiH"},
        "method": {"name": "vqe", "ansatz": "hardware_efficient"},
        "active_space": {"electrons": 2, "orbitals": 3},
    },
    "vqe-lih-shots": {"molecule": {"library": "LiH"}, "method": {"name": "vqe", "optimizer": "spsa", "shots": 1000}},
    "qse-lih": {"molecule": {"library": "LiH"}, "method": {"name": "vqe"}, "task": {"name": "excited_states"}},
    "gradient-mp2-ethanol": {
        "molecule": ETHANOL,
        "method": {"name": "mp2"},
        "basis": "6-31g*",
        "task": {"name": "energy", "gradient": True},
    },
    "optimise-dft-water": {
        "molecule": WATER,
        "method": {"name": "dft", "xc": "b3lyp"},
        "basis": "6-31g*",
        "task": {"name": "optimize"},
    },
    "optimise-ccsd-water": {
        "molecule": WATER,
        "method": {"name": "ccsd"},
        "basis": "6-31g",
        "task": {"name": "optimize"},
    },
    "frequencies-dft-water": {
        "molecule": WATER,
        "method": {"name": "dft", "xc": "b3lyp"},
        "basis": "6-31g*",
        "task": {"name": "frequencies"},
    },
    "scan-water": {
        "molecule": WATER,
        "method": HF,
        "basis": "6-31g*",
        "task": {
            "name": "scan",
            "coordinate": {"type": "bond", "atoms": [0, 1]},
            "start": 0.8,
            "stop": 1.5,
            "points": 15,
        },
    },
}


def measured(name: str) -> tuple[tuple[float, float], float, float, float]:
    """(estimated range of seconds, seconds, estimated MB, peak MB) of a case."""
    run(msgspec.convert({"molecule": WATER, "method": HF, "basis": "sto-3g"}, Spec), lambda _: None, lambda: False)
    spec = msgspec.convert(CASES[name] | {"limits": {"memory_mb": 8000}}, Spec)
    price = prepare.prepare(spec).estimate
    begun = time.perf_counter()
    result = run(spec, lambda _: None, lambda: False)
    took = time.perf_counter() - begun
    assert price.seconds is not None
    assert price.memory_mb is not None
    assert result.provenance is not None
    return price.seconds, took, price.memory_mb, result.provenance.peak_rss_mb


def main(names: list[str]) -> None:
    within_time = within_memory = 0
    print(
        f"{'case':22} {'estimate s':>12} {'took s':>8} {'ratio':>7}   {'estimate MB':>11} {'peak MB':>8} {'ratio':>7}"
    )
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            (low, high), took, memory, peak = pool.apply(measured, (name,))
        guess = math.sqrt(low * high)
        within_time += 1 / 5 <= guess / took <= 5
        within_memory += 1 / 3 <= memory / peak <= 3
        print(
            f"{name:22} {guess:12.3f} {took:8.3f} {guess / took:7.2f}   "
            f"{memory:11.0f} {peak:8.0f} {memory / peak:7.2f}",
            flush=True,
        )
    print(f"within 5 times of the time: {within_time} of {len(names)}; 3 times of memory: {within_memory}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
