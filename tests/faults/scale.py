"""How much of each scenario is run, with which seed, and how patiently times are judged."""

from __future__ import annotations

import os
import secrets

SEED = int(os.environ.get("KANAD_FAULT_SEED") or secrets.randbits(32))
"""Decides every random instant; printed by each run, and replayed by setting KANAD_FAULT_SEED."""
SCALE = float(os.environ.get("KANAD_FAULT_SCALE") or 0.1)
"""1 runs the full counts of the plan (`make test-faults-all`); a change is checked with a tenth."""
PATIENCE = float(os.environ.get("KANAD_FAULT_PATIENCE") or 3.0)
"""Times are judged against the plan's limit times this: machines that test changes are shared."""


def count(full: int, least: int = 1) -> int:
    """How often, of `full` times, at this scale; never fewer than `least`."""
    return max(least, min(full, round(full * SCALE)))


def within(limit: float) -> float:
    """The limit that a measured time has to keep here."""
    return limit * PATIENCE
