"""Analytic gradients that can be ended between atoms are those of PySCF."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers import gradients, mole, self_consistent
from kanad_solvers.molecule import parse
from kanad_solvers.run import Watch
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import WATER, atoms

HYDROXYL = atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)


@pytest.mark.parametrize("molecule", [WATER, HYDROXYL], ids=["closed", "open"])
@pytest.mark.parametrize(
    "method",
    [{"name": "hf"}, *({"name": "dft", "xc": xc, "grid_level": 1} for xc in ("pbe", "pbe0", "hse06", "wb97x"))],
    ids=lambda method: method.get("xc", "hf"),
)
def test_the_gradient_is_that_of_one_call(molecule: dict[str, Any], method: dict[str, Any]) -> None:
    spec = msgspec.convert({"molecule": molecule, "method": method, "basis": "6-31g*"}, Spec)
    watch = Watch(lambda _: None, lambda: False)
    field = self_consistent.converge(mole.build(spec, parse(spec.molecule)), spec, watch)
    ours = gradients.analytic(field.nuc_grad_method(), watch)
    np.testing.assert_allclose(ours, field.nuc_grad_method().kernel(), rtol=0, atol=1e-10)
