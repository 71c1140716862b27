"""Lines of PySCF's log, as version 2.14 writes them."""

from __future__ import annotations

import pytest

from kanad_solvers import pyscf_log
from kanad_solvers.errors import Cancelled
from kanad_solvers.run import Watch
from tests.unit.solvers.solving import Reports


def test_davidson_iterations_in_all_spellings() -> None:
    reports = Reports()
    stream = pyscf_log.LogReader(pyscf_log.davidson(Watch(reports.append, lambda: False), "eom-ccsd", -76.0))
    stream.write("davidson 0 4  |r|= 0.336  e= [0.3 0.4]  max|de|= 0.5  lindep= 0.9\nlr_eig 1 8  |r|= 0.1  e= [ 0.29")
    stream.write(" 0.4]  max|de|= 0.01  lindep= 0.9\nconverged 2 9  |r|= 1e-06  e= [0.289 0.4]  max|de|= 1e-9\n")
    stream.write("root 0 converged  |r|= 1e-6  e= 0.2  max|de|= 1e-9\nnoise\n")
    found = reports.series("eom-ccsd")
    assert [report.energy_hartree for report in found] == pytest.approx([-75.7, -75.71, -75.711])
    assert [report.iteration for report in found] == [1, 2, 3]
    assert found[-1].residual == 1e-6


def test_coupled_cluster_iterations() -> None:
    reports = Reports()
    take = pyscf_log.coupled_cluster(Watch(reports.append, lambda: False), "ccsd", -76.0)
    take("cycle = 3  E_corr(RCCSD) = -0.135  dE = -1e-05  norm(t1,t2) = 0.0021")
    (report,) = reports.series("ccsd")
    assert (report.iteration, report.energy_hartree, report.delta_hartree, report.residual) == (
        3,
        -76.135,
        -1e-5,
        0.0021,
    )


def test_every_line_is_a_chance_to_end() -> None:
    with pytest.raises(Cancelled):
        pyscf_log.triples(Watch(lambda _: None, lambda: True), 10)("anything")


def test_blocks_of_triples_add_up_to_a_hundred_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanad_solvers.run.HEARTBEAT_S", 0.0)
    reports = Reports()
    take = pyscf_log.triples(Watch(reports.append, lambda: False), 4)
    for a in range(4):
        for b in range(a + 1):
            take(f"    CPU time for contract {a}:{a + 1},{b}:{b + 1}      0.01 sec")
    words = [getattr(report, "message", "") for report in reports]
    assert words[-1] == "perturbative triples: 100%"
