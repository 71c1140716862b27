"""Every reference case beside its published value, as a Markdown table (docs/accuracy.md).

Run with `python bench/accuracy.py [--slow]`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads: workers run with one thread

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import numpy as np
from tests.support.reference import CASES, found, refused

from kanad_solvers.run import run
from kanad_solvers.spec import Spec


def main(with_slow: bool) -> None:
    """Prints the table."""
    print("| case | quantity | published | here | difference | source |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        if list(refused(case)) or (case.get("slow") and not with_slow):
            continue
        result = run(msgspec.convert(case["spec"], Spec), lambda _: None, lambda: False)
        plain = msgspec.to_builtins(result)
        for expected in case["expect"]:
            value = found(plain, expected)
            if "value" in expected:
                wanted = np.array(expected["value"])
                gap = float(np.abs(np.array(value) - wanted).max())
                shown = f"{expected['value']:.10g}" if wanted.ndim == 0 else "an array"
                mine = f"{value:.10g}" if wanted.ndim == 0 else "an array"
                print(f"| {case['id']} | {expected['path']} | {shown} | {mine} | {gap:.1e} | {case['source']} |")
            else:
                bounds = f"{expected['min']:.10g} to {expected['max']:.10g}"
                print(f"| {case['id']} | {expected['path']} | {bounds} | {value:.10g} | within | {case['source']} |")


if __name__ == "__main__":
    main("--slow" in sys.argv)
