"""The same input and seed give the same numbers: in any process, after any other work, on any day."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import msgspec

from tests.unit.solvers.solving import H2, LIH, WATER, solve

SPECS: list[dict[str, Any]] = [
    {"molecule": WATER, "method": {"name": "dft", "xc": "pbe", "grid_level": 0}},
    {"molecule": {"smiles": "CO"}, "method": {"name": "hf"}},
    {"molecule": LIH, "method": {"name": "ccsd(t)"}},
    {"molecule": LIH, "method": {"name": "casci", "n_states": 3}, "active_space": {"electrons": 2, "orbitals": 5}},
    {"molecule": WATER, "method": {"name": "sqd", "noise": 0.05, "samples_per_batch": 6, "seed": 11}},
    {"molecule": LIH, "method": {"name": "krylov_sqd", "samples_per_batch": 6, "seed": 11}},
    {"molecule": H2, "method": {"name": "vqe", "optimizer": "spsa", "shots": 500, "max_iterations": 20, "seed": 11}},
    {"molecule": H2, "method": {"name": "vqe", "ansatz": "hardware_efficient", "seed": 11}},
    {"molecule": LIH, "method": {"name": "adapt_vqe", "seed": 11}},
]
SLOT = """
    import json, sys
    import msgspec
    from kanad_solvers.run import run
    from kanad_solvers.spec import Spec
    found = []
    for plain in json.load(sys.stdin):
        result = run(msgspec.convert(plain, Spec), lambda _: None, lambda: False)
        found.append([result.energy_hartree.hex(), [state.energy_hartree.hex() for state in result.states]])
    json.dump(found, sys.stdout)
"""


def of_another_process(specs: list[dict[str, Any]], **environment: str) -> Any:
    """Energies to the last bit, computed one after the other in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SLOT)],
        input=msgspec.json.encode(specs),
        capture_output=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )
    return msgspec.json.decode(done.stdout)


def test_energies_are_the_same_to_the_last_bit_in_any_process_and_order() -> None:
    forward = of_another_process(SPECS, PYTHONHASHSEED="1")
    backward = of_another_process(SPECS[::-1], PYTHONHASHSEED="2", TZ="Pacific/Auckland")
    assert forward == backward[::-1]


def test_a_seed_is_what_makes_the_difference() -> None:
    method = {"name": "sqd", "noise": 0.1, "samples_per_batch": 6, "n_batches": 1, "max_iterations": 1}
    found = {solve(WATER, method | {"seed": seed})[0].energy_hartree for seed in (1, 2, 3)}
    assert len(found) > 1
