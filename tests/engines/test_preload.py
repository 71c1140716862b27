"""What a worker of a cluster finds out about itself, without a cluster."""

from __future__ import annotations

import pytest

from kanad_server.engines import dask_worker


def test_a_worker_with_an_unfit_pyscf_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = dask_worker.examine()
    assert dask_worker.faults() == ()
    monkeypatch.setattr(dask_worker, "examine", lambda: sound | {"pyscf": "1.7.6"})
    (fault,) = dask_worker.faults()
    assert "pyscf is 1.7.6, and kanad-server needs" in fault
    assert ">=2" in fault
