"""Hamiltonians without nuclei: read strictly, and solved as the molecule that they came from, or as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.optimize import fsolve

from kanad_solvers import interop
from kanad_solvers.errors import InvalidSpec
from kanad_solvers.fcidump import MAX_ORBITALS, read
from kanad_solvers.prepare import prepare
from kanad_solvers.result import Result
from kanad_solvers.run import run
from kanad_solvers.spec import Spec
from kanad_solvers.wavefunction import decode
from tests.unit.solvers.solving import LIH, OXYGEN

HEAD = "&FCI NORB=2,NELEC=2,MS2=0,\n ORBSYM=1,1,\n ISYM=1,\n&END\n"
TINY = HEAD + "0.6 1 1 1 1\n0.5 2 2 1 1\n0.1 2 1 2 1\n0.6 2 2 2 2\n-1.2 1 1 0 0\n-0.4 2 2 0 0\n0.7 0 0 0 0\n"


def spec_of(**fields: Any) -> Spec:
    return prepare(msgspec.convert(fields, Spec)).spec


def solved(keep: Path | None = None, **fields: Any) -> Result:
    return run(spec_of(**fields), lambda _: None, lambda: False, keep=keep)


def dumped(tmp_path: Path, molecule: dict[str, Any], **fields: Any) -> tuple[Result, str]:
    """The result of the molecule, and the FCIDUMP of its window."""
    fields = {"method": {"name": "fci"}} | fields
    result = solved(tmp_path / "kept", molecule=molecule, **fields)
    return result, interop.fcidump(decode((tmp_path / "kept").read_bytes()))


def hubbard_ring(sites: int, repulsion: float) -> str:
    """A half-filled ring with hopping 1, in the basis of its sites."""
    lines = [f"&FCI NORB={sites},NELEC={sites},MS2=0,\n ORBSYM={sites}*1,\n ISYM=1,\n /"]
    lines += [f"{repulsion} {p} {p} {p} {p}" for p in range(1, sites + 1)]
    lines += [f"-1.0 {p % sites + 1} {p} 0 0" for p in range(1, sites + 1)]
    return "\n".join(lines) + "\n"


def lieb_wu(repulsion: float) -> float:
    """Exact ground energy of the half-filled ring of six sites: Lieb and Wu, Phys. Rev. Lett. 20, 1445 (1968)."""
    charges, spins = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), np.array([-1.0, 0.0, 1.0])

    def equations(unknown: Any) -> Any:
        k, rapidity = unknown[:6], unknown[6:]
        between = 2 * np.arctan(4 * (np.sin(k)[:, None] - rapidity) / repulsion)
        spin = 2 * np.arctan(2 * (rapidity[:, None] - rapidity) / repulsion)
        return np.concatenate(
            [6 * k - 2 * np.pi * charges + between.sum(1), -between.sum(0) - 2 * np.pi * spins - spin.sum(1)]
        )

    found, _, status, message = fsolve(
        equations, np.concatenate([charges * np.pi / 6, spins / 2]), full_output=True, xtol=1e-13
    )
    assert status == 1, message
    return float(-2 * np.cos(found[:6]).sum())


@pytest.mark.parametrize(
    "method",
    [{"name": "fci"}, {"name": "selected_ci", "epsilon": 1e-6}, {"name": "vqe"}, {"name": "sqd", "n_samples": 20_000}],
    ids=lambda method: str(method["name"]),
)
def test_a_molecules_fcidump_gives_the_energy_of_the_molecule(tmp_path: Path, method: dict[str, Any]) -> None:
    asked, text = dumped(tmp_path, LIH, method=method)
    found = solved(molecule={"fcidump": text}, method=method)
    assert found.energy_hartree == pytest.approx(asked.energy_hartree, abs=1e-8)
    assert found.components["hf_hartree"] == pytest.approx(asked.components["hf_hartree"], abs=1e-8)
    assert found.geometry is None
    assert found.properties is not None
    assert found.properties.dipole_debye is None


def test_states_and_an_open_shell_agree_with_the_molecule(tmp_path: Path) -> None:
    window = {"electrons": 8, "orbitals": 6}
    task = {"name": "excited_states", "n_states": 3, "spin": "any"}
    asked, text = dumped(tmp_path, OXYGEN, active_space=window, method={"name": "casci"}, task=task)
    found = solved(molecule={"fcidump": text}, method={"name": "fci"}, task=task)
    energies = [[state.energy_hartree for state in result.states] for result in (asked, found)]
    assert energies[1] == pytest.approx(energies[0], abs=1e-8)
    assert found.states[1].oscillator_strength is None
    assert found.reference is not None
    assert found.reference.type == "rohf"


def test_a_window_of_the_hamiltonian_is_that_of_the_molecule(tmp_path: Path) -> None:
    window = {"electrons": 2, "orbitals": 4}
    asked = solved(molecule=LIH, method={"name": "casci"}, active_space=window)
    _, text = dumped(tmp_path, LIH)
    found = solved(molecule={"fcidump": text}, method={"name": "casci"}, active_space=window)
    assert found.energy_hartree == pytest.approx(asked.energy_hartree, abs=1e-8)


@pytest.mark.parametrize("repulsion", [2.0, 4.0, 8.0])
def test_the_hubbard_ring_has_its_exact_energy(repulsion: float) -> None:
    found = solved(molecule={"fcidump": hubbard_ring(6, repulsion)}, method={"name": "fci"})
    assert found.energy_hartree == pytest.approx(lieb_wu(repulsion), abs=1e-8)
    assert any("no Hartree-Fock solution" in warning for warning in found.warnings)


def test_measured_counts_refer_to_the_orbitals_of_the_file() -> None:
    counts = {"001001": 5, "010010": 5, "001010": 5, "010001": 5, "100001": 1}
    method = {"name": "sqd", "sampler": "counts", "counts": counts, "samples_per_batch": 1000}
    head = "&FCI NORB=3 NELEC=2 MS2=0 &END\n"
    body = "4.0 1 1 1 1\n4.0 2 2 2 2\n4.0 3 3 3 3\n-1.0 1 2 0 0\n-1.0 2 3 0 0\n"
    found = solved(molecule={"fcidump": head + body}, method=method)
    exact = solved(molecule={"fcidump": head + body}, method={"name": "fci"})
    assert found.energy_hartree == pytest.approx(exact.energy_hartree, abs=1e-8)


@pytest.mark.parametrize(
    "written",
    [
        TINY.replace("&END", "/"),
        TINY.replace("&END", "$END").replace("&FCI", "$FCI"),
        TINY.replace("\n", "\r\n"),
        TINY.replace("-1.2 ", "-1.2D+00 "),
        TINY.replace("0.5 2 2 1 1", "0.5 1 1 2 2\n0.5 2 2 1 1\n-1.2 1 0 0 0"),
        TINY.replace("MS2=0,\n ORBSYM=1,1,\n ISYM=1,\n&END", "IUHF=.FALSE., MS2 = 0 &END"),
    ],
    ids=["slash", "dollar", "crlf", "fortran", "repeated", "short"],
)
def test_dialects_mean_the_same(written: str) -> None:
    plain, found = read(TINY), read(written)
    assert (found.norb, found.electrons, found.unpaired, found.constant) == (2, 2, 0, 0.7)
    assert np.array_equal(found.one_body, plain.one_body)
    assert np.array_equal(found.two_body, plain.two_body)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("hello", "begins with a namelist"),
        (TINY.replace("NORB=2", "NORB=0"), "NORB is a whole number from 1"),
        (TINY.replace("NORB=2", f"NORB={MAX_ORBITALS + 1}"), "NORB is a whole number from 1"),
        (TINY.replace("NORB=2", "NORB=__import__('os')"), "NORB is a whole number"),
        (TINY.replace("NELEC=2", "NELEC=5"), "NELEC is a whole number from 1 to 4"),
        (TINY.replace("MS2=0", "MS2=1"), "do not go together"),
        (TINY.replace("NELEC=2,MS2=0", "NELEC=4,MS2=2"), "do not go together"),
        (TINY.replace("ISYM=1", "IUHF=1"), "the same for both spins"),
        (HEAD, "no integrals"),
        (TINY + "0.1 3 1 1 1\n", "line 12: orbitals are 1 to 2"),
        (TINY + "0.1 -1 1 1 1\n", "line 12: orbitals are 1 to 2"),
        (TINY + "nan 1 1 1 1\n", "line 12: values are finite"),
        (TINY + "1e9 1 1 1 1\n", "line 12: values are finite"),
        (TINY + "0.7 1 1 1 1\n", "line 12: 0.7 contradicts 0.6"),
        (TINY + "(0.7,0.1) 1 1 1 1\n", "line 12: expected a real value"),
        (TINY + "0.7 1 1 1\n", "line 12: expected a real value"),
        (TINY + "0.7 1 0 1 1\n", "line 12: 1 0 1 1 names no integral"),
    ],
)  # fmt: skip
def test_what_is_no_hamiltonian_is_refused_with_its_line(written: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^\$\.molecule\.fcidump: ") as caught:
        read(written)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"method": {"name": "hf"}}, "$.method.name"),
        ({"method": {"name": "casscf"}, "active_space": {"electrons": 2, "orbitals": 2}}, "$.method.name"),
        ({"task": {"name": "optimize"}}, "$.task.name"),
        ({"task": {"name": "energy", "gradient": True}}, "$.task.gradient"),
        ({"basis": "6-31g"}, "$.basis"),
        ({"solvent": {"model": "cpcm"}}, "$.solvent"),
        ({"active_space": {"frozen_core": True}}, "$.active_space"),
        ({"active_space": {"electrons": 2, "orbitals": 3}}, "$.active_space.orbitals"),
        ({"molecule": {"fcidump": TINY, "charge": 1}}, "$.molecule.charge"),
        ({"molecule": {"fcidump": TINY, "multiplicity": 2}}, "$.molecule.multiplicity"),
        ({"molecule": {"fcidump": TINY, "smiles": "O"}}, "$.molecule"),
    ],
)
def test_what_needs_atoms_is_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(**({"molecule": {"fcidump": TINY}, "method": {"name": "fci"}} | fields))
    assert path in [error.path for error in caught.value.errors]


def test_a_prepared_hamiltonian_has_its_price_and_can_be_posted_again() -> None:
    first = prepare(msgspec.convert({"molecule": {"fcidump": TINY}, "method": {"name": "fci"}}, Spec))
    assert (first.estimate.basis_functions, first.estimate.determinants, first.estimate.qubits) == (2, 4, 4)
    assert (first.spec.basis, first.molecule.orbitals, first.molecule.electrons) == ("none", 2, 2)
    assert prepare(first.spec) == first


def test_too_many_determinants_are_refused_before_they_cost_anything() -> None:
    text = hubbard_ring(24, 4.0)
    found = prepare(msgspec.convert({"molecule": {"fcidump": text}, "method": {"name": "fci"}}, Spec)).estimate
    assert not found.feasible
    assert found.suggestion is not None
