"""What a lost attempt leaves: kept by reference, written by time, torn files forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kanad_solvers.errors import Cancelled
from kanad_solvers.memory import Memory
from kanad_solvers.progress import Log
from kanad_solvers.run import run
from kanad_solvers.spec import Spec
from tests.unit.solvers.solving import LIH, WATER, Reports


def test_nothing_is_written_before_its_time(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "x.npz", every_s=3600)
    memory.keep("scf", mo_coeff=np.eye(3))
    assert not list(tmp_path.iterdir())


def test_what_was_written_is_read_and_said_once(tmp_path: Path) -> None:
    Memory(tmp_path / "x.npz", every_s=0).keep("scf", mo_coeff=np.eye(3))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    memory = Memory(tmp_path / "x.npz")
    memory.load()
    assert np.array_equal((memory.recall("scf") or {})["mo_coeff"], np.eye(3))
    assert memory.was_loaded("scf")
    assert not memory.was_loaded("scf")
    assert memory.recall("ccsd") is None


@pytest.mark.parametrize("content", [b"", b"PK", b"\x00" * 1000])
def test_a_torn_file_is_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    memory = Memory(tmp_path / "x.npz")
    memory.load()
    assert memory.recall("scf") is None


def test_nothing_in_a_file_is_unpickled(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"scf/mo_coeff": np.array([{}], dtype=object)}
    np.savez(tmp_path / "x.npz", **arrays)
    memory = Memory(tmp_path / "x.npz")
    memory.load()
    assert memory.recall("scf") is None


def test_a_directory_that_cannot_be_written_costs_the_checkpoint_only(tmp_path: Path) -> None:
    Memory(tmp_path / "absent" / "x.npz", every_s=0).keep("scf", mo_coeff=np.eye(3))


@pytest.mark.parametrize(
    ("method", "words", "series"),
    [
        ({"name": "hf"}, "SCF orbitals", "scf"),
        ({"name": "ccsd"}, "CCSD amplitudes", "ccsd"),
        ({"name": "casscf"}, "CASSCF orbitals", "casscf"),
        ({"name": "vqe"}, "circuit parameters", "vqe"),
        ({"name": "adapt_vqe"}, "operators and their angles", "adapt"),
        ({"name": "sqd", "samples_per_batch": 5}, "strings of the best subspace", "sqd"),
    ],
)
def test_an_attempt_that_is_lost_is_continued_and_ends_with_the_same_energy(
    tmp_path: Path, method: dict[str, object], words: str, series: str
) -> None:
    molecule = LIH if method["name"] in ("adapt_vqe", "vqe") else WATER
    window = {"active_space": {"electrons": 6, "orbitals": 5}} if method["name"] == "casscf" else {}
    spec = msgspec.convert({"molecule": molecule, "method": method, "basis": "sto-3g"} | window, Spec)
    whole = run(spec, lambda _: None, lambda: False)
    lost, again = Reports(), Reports()
    with pytest.raises(Cancelled):
        run(spec, lost.append, lambda: len(lost.series(series)) >= 3 or (series == "sqd" and bool(lost.series(series))),
            Memory(tmp_path / "x.npz", every_s=0))  # fmt: skip
    memory = Memory(tmp_path / "x.npz")
    memory.load()
    result = run(spec, again.append, lambda: False, memory)
    assert any(words in report.message for report in again if isinstance(report, Log))
    if series == "sqd":
        assert result.energy_hartree < whole.energy_hartree + 1e-6
    else:
        assert result.energy_hartree == pytest.approx(whole.energy_hartree, abs=2e-6)
