"""From a spec to a stamped result: provenance, cancelling, refusals."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers.errors import Cancelled, InvalidSpec, NotConverged
from kanad_solvers.progress import Convergence, Progress
from kanad_solvers.registry import METHODS
from kanad_solvers.result import Result
from kanad_solvers.run import Watch, _refuse_nonfinite, run
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import H2, LIH, WATER, solve


@pytest.mark.parametrize("method", ["hf", "fci", "vqe", "sqd"])
def test_every_method_stamps_its_result(method: str) -> None:
    result, reports = solve(H2, {"name": method})
    assert result.provenance is not None
    assert result.provenance.wall_s > 0
    assert result.provenance.peak_rss_mb > 10
    assert result.provenance.threads >= 1
    assert {"kanad_solvers", "pyscf", "numpy", "scipy", "python"} == set(result.provenance.versions)
    assert result.geometry is not None
    assert result.geometry.symbols == ("H", "H")
    stages = reports.stages()
    assert [stage.stage for stage in stages] == list(range(stages[0].last_stage + 1))


@pytest.mark.parametrize("method", ["vqe", "sqd"])
def test_the_seed_is_in_the_provenance(method: str) -> None:
    result, _ = solve(H2, {"name": method, "seed": 7})
    assert result.provenance is not None
    assert result.provenance.seed == 7


LONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{name: ({"name": name}, {}) for name in METHODS},
    "states": ({"name": "hf"}, {"task": {"name": "excited_states"}}),
    "eom": ({"name": "ccsd"}, {"task": {"name": "excited_states"}}),
    "qse": ({"name": "vqe"}, {"task": {"name": "excited_states"}}),
    "optimize": ({"name": "mp2"}, {"task": {"name": "optimize"}}),
    "frequencies": ({"name": "hf"}, {"task": {"name": "frequencies"}}),
    "scan": ({"name": "fci"}, {"task": {
        "name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "values": [0.9, 1.0, 1.1]}}),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("seen", [0, 3, 7])
def test_a_cancelled_run_ends_at_the_next_report(name: str, seen: int) -> None:
    reports: list[Progress] = []
    method, fields = LONG[name]
    window = {"active_space": {"electrons": 4, "orbitals": 4}} if name in ("casci", "casscf") else {}
    spec = msgspec.convert({"molecule": WATER, "method": method} | fields | window, Spec)
    with pytest.raises(Cancelled):
        run(spec, reports.append, lambda: len(reports) >= seen)
    assert len(reports) == seen


def test_a_task_that_the_method_lacks_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="mp2 cannot do 'excited_states'"):
        solve(H2, {"name": "mp2"}, task={"name": "excited_states"})


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_never_a_result(number: float) -> None:
    with pytest.raises(NotConverged, match=r"\$\.components\.hf_hartree"):
        _refuse_nonfinite(Result(energy_hartree=-1.0, converged=True, components={"hf_hartree": number}))


def test_an_energy_that_is_not_finite_ends_the_run_with_the_last_good_one() -> None:
    sent: list[Progress] = []
    watch = Watch(sent.append, lambda: False)
    watch.converge("scf", 1, -1.5)
    with pytest.raises(NotConverged) as caught:
        watch.converge("scf", 2, math.nan)
    assert caught.value.details["last_energy_hartree"] == -1.5
    assert [report.iteration for report in sent if isinstance(report, Convergence)] == [1]


def test_the_6_31g_family_says_which_d_functions_it_used() -> None:
    spherical, _ = solve(WATER, {"name": "hf"}, basis="6-31g*")
    cartesian, _ = solve(WATER, {"name": "hf"}, basis="6-31g*", cartesian=True)
    assert any("spherical (5d)" in warning for warning in spherical.warnings)
    assert any("cartesian (6d)" in warning for warning in cartesian.warnings)
    assert cartesian.energy_hartree < spherical.energy_hartree


@pytest.mark.parametrize("method", ["fci", "vqe", "sqd"])
def test_numerical_gradients_point_the_way_the_energy_falls(method: str) -> None:
    # PySCF 2.14 CASSCF gradient of LiH over all orbitals (full CI): dE/dz of Li is -0.0078135 hartree/bohr.
    result, _ = solve(LIH, {"name": method}, task={"name": "energy", "gradient": True})
    assert result.properties is not None
    gradient = result.properties.gradient_hartree_per_bohr
    assert gradient is not None
    assert gradient[0][2] == pytest.approx(-0.0078135, abs=5e-5)
    assert np.sum(gradient, axis=0) == pytest.approx(0, abs=1e-6)


def test_a_long_call_into_c_says_how_far_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanad_solvers.run.HEARTBEAT_S", 0.05)
    reports: list[Any] = []
    watch = Watch(reports.append, lambda: False)
    with watch.beating("integrals", 1.0):
        time.sleep(0.3)
    assert any("integrals: 0 s, about" in report.message for report in reports)
    seen = len(reports)
    time.sleep(0.15)
    assert len(reports) == seen
    with watch.beating("integrals", 0.01):
        time.sleep(0.2)
    assert len(reports) == seen


def test_a_long_call_that_was_cancelled_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanad_solvers.run.HEARTBEAT_S", 0.05)
    asked = [False]
    watch = Watch(lambda _: None, lambda: asked[0])

    def call() -> None:
        with watch.beating("integrals", 1.0):
            asked[0] = True
            time.sleep(0.2)

    with pytest.raises(Cancelled):
        call()
