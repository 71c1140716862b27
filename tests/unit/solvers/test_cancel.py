"""A wish to end is heard within one step of what reports nothing: Lambda, stability, responses, gradients, Hessians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pyscf.cc import ccsd_lambda, ccsd_t_lambda, uccsd_lambda
from pyscf.grad import ccsd as ccsd_grad
from pyscf.grad import rks as rks_grad
from pyscf.hessian import rhf as rhf_hessian
from pyscf.hessian import uhf as uhf_hessian
from pyscf.scf import _vhf, cphf, ucphf
from pyscf.soscf import newton_ah

from kanad_solvers.errors import Cancelled
from kanad_solvers.run import run
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import LIH, OXYGEN, atoms

CLOSED = {"molecule": LIH}
OPEN = {"molecule": atoms(("O", 0, 0, 0), ("H", 0, 0, 0.97), multiplicity=2)}
GRADIENT = {"task": {"name": "energy", "gradient": True}}
VIBRATIONS = {"task": {"name": "frequencies", "optimize_first": False}}


class Steps:
    """Counts the steps of an iteration inside PySCF."""

    def __init__(self) -> None:
        self.begun = 0

    def counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            self.begun += 1
            return step(*args, **options)

        return counting

    def solver(self, solve: Callable[..., Any]) -> Callable[..., Any]:
        """Coupled-perturbed equations, whose first argument is the step."""
        return lambda step, *args, **options: solve(self.counted(step), *args, **options)

    def products(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A maker of (gradient, product with the Hessian, diagonal)."""

        def made(*args: Any, **options: Any) -> Any:
            gradient, product, diagonal = make(*args, **options)
            return gradient, self.counted(product), diagonal

        return made


COUNTED, SOLVER, PRODUCTS = Steps.counted, Steps.solver, Steps.products
CASES: dict[str, tuple[Any, str, Any, dict[str, Any]]] = {
    "lambda": (ccsd_lambda, "update_lambda", COUNTED, CLOSED | {"method": {"name": "ccsd"}}),
    "lambda, open": (uccsd_lambda, "update_lambda", COUNTED, OPEN | {"method": {"name": "ccsd"}}),
    "lambda of triples": (ccsd_t_lambda, "update_lambda", COUNTED, CLOSED | {"method": {"name": "ccsd(t)"}} | GRADIENT),
    "stability": (newton_ah, "gen_g_hop_uhf", PRODUCTS, {"molecule": OXYGEN, "method": {"name": "hf"}}),
    "stability, restricted": (
        newton_ah, "gen_g_hop_rhf", PRODUCTS, CLOSED | {"method": {"name": "hf", "check_stability": True}},
    ),
    "gradient of hf": (_vhf, "direct_mapdm", COUNTED, CLOSED | {"method": {"name": "hf"}} | GRADIENT),
    "gradient of hf, open": (_vhf, "direct_mapdm", COUNTED, OPEN | {"method": {"name": "hf"}} | GRADIENT),
    "gradient of dft": (
        _vhf, "direct_mapdm", COUNTED, CLOSED | {"method": {"name": "dft", "xc": "hse06", "grid_level": 0}} | GRADIENT,
    ),
    "gradient of dft, points": (
        rks_grad, "_gga_grad_sum_", COUNTED,
        CLOSED | {"method": {"name": "dft", "xc": "pbe", "grid_level": 9}} | GRADIENT,
    ),
    "gradient of mp2": (cphf, "solve", SOLVER, CLOSED | {"method": {"name": "mp2"}} | GRADIENT),
    "gradient of ccsd": (ccsd_grad, "_load_block_tril", COUNTED, CLOSED | {"method": {"name": "ccsd"}} | GRADIENT),
    "gradient of mp2, open": (ucphf, "solve", SOLVER, OPEN | {"method": {"name": "mp2"}} | GRADIENT),
    "gradient of ccsd, open": (ccsd_grad, "_load_block_tril", COUNTED, OPEN | {"method": {"name": "ccsd"}} | GRADIENT),
    "hessian": (cphf, "solve", SOLVER, CLOSED | {"method": {"name": "hf"}} | VIBRATIONS),
    "hessian of dft": (cphf, "solve", SOLVER, CLOSED | {"method": {"name": "dft", "grid_level": 0}} | VIBRATIONS),
    "hessian, open": (ucphf, "solve", SOLVER, OPEN | {"method": {"name": "hf"}} | VIBRATIONS),
    "hessian integrals": (rhf_hessian, "_get_jk", COUNTED, CLOSED | {"method": {"name": "hf"}} | VIBRATIONS),
    "hessian integrals, open": (uhf_hessian, "_get_jk", COUNTED, OPEN | {"method": {"name": "hf"}} | VIBRATIONS),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_ends_within_a_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, kind, fields = CASES[name]
    spec, steps = msgspec.convert(fields, Spec), Steps()
    monkeypatch.setattr(module, attribute, kind(steps, getattr(module, attribute)))
    run(spec, lambda _: None, lambda: False)
    whole, steps.begun = steps.begun, 0
    with pytest.raises(Cancelled):
        run(spec, lambda _: None, lambda: steps.begun > 0)
    assert steps.begun <= 2
    assert steps.begun < whole
