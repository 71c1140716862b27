"""How fast the solvers are, against plain PySCF scripts that compute the same numbers, alternating on the same machine.

Run with `python bench/solvers.py [rounds] [name ...]`: the rows whose names begin so, or all. Prints medians, their
ratios and what each should reach; asserts nothing.
SQD against qiskit-addon-sqd is in `bench/sqd.py`, since that needs an environment of its own.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads: workers run with one thread

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from pyscf import ao2mo, cc, dft, fci, gto, mcscf, mp, scf, tdscf
from pyscf.geomopt import geometric_solver
from pyscf.hessian import thermo
from pyscf.scf import hf

from kanad_solvers.progress import Progress
from kanad_solvers.run import run
from kanad_solvers.spec import Spec

HYDROGEN = [("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.7414))]
LITHIUM_HYDRIDE = [("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.5949))]
WATER = [("O", (0.0, 0.0, 0.1173)), ("H", (0.0, 0.7572, -0.4692)), ("H", (0.0, -0.7572, -0.4692))]
NITROGEN = [("N", (0.0, 0.0, 0.0)), ("N", (0.0, 0.0, 1.0977))]

Geometry = list[tuple[str, tuple[float, float, float]]]
Work = Callable[[], float]


def spec_of(geometry: Geometry, basis: str, method: dict[str, Any], **more: Any) -> Spec:
    """A decoded spec."""
    return msgspec.convert({"molecule": _molecule(geometry), "basis": basis, "method": method, **more}, Spec)


def _molecule(geometry: Geometry) -> dict[str, Any]:
    return {"atoms": [{"symbol": symbol, "position_angstrom": position} for symbol, position in geometry]}


def ours(geometry: Geometry, basis: str, method: dict[str, Any], **more: Any) -> Work:
    """A whole run, from decoded spec to result, properties included."""
    spec = spec_of(geometry, basis, method, **more)
    return lambda: run(spec, lambda _: None, lambda: False).energy_hartree


# What a person writes with PySCF.


def molecule(geometry: Geometry, basis: str, **more: Any) -> Any:
    text = "; ".join(f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in geometry)
    return gto.M(atom=text, basis=basis, verbose=0, **more)


def properties(mf: Any, density: Any = None) -> None:
    """Dipole, Mulliken charges and Mayer bond orders, as our result has them."""
    density = mf.make_rdm1() if density is None else density
    if density.ndim == 3:
        density = density[0] + density[1]
    mf.dip_moment(mf.mol, density, verbose=0)
    mf.mulliken_pop(mf.mol, density, verbose=0)
    _ = density @ mf.get_ovlp() * (density @ mf.get_ovlp()).T


def correlated(solver: Any, mf: Any) -> None:
    """Properties of a correlated density, from its own lambda equations."""
    density = solver.make_rdm1(ao_repr=True)
    properties(mf, density)


def plain_hf(geometry: Geometry, basis: str) -> Work:
    """The energy only, no properties."""
    return lambda: float(scf.RHF(molecule(geometry, basis)).kernel())


def plain_dft(geometry: Geometry, basis: str, functional: str) -> Work:
    def solve() -> float:
        mf = dft.RKS(molecule(geometry, basis), xc=functional)
        energy = mf.kernel()
        properties(mf)
        return float(energy)

    return solve


def plain_uhf(geometry: Geometry, basis: str, spin: int) -> Work:
    def solve() -> float:
        mf = scf.UHF(molecule(geometry, basis, spin=spin))
        energy = mf.kernel()
        mf.stability()
        properties(mf)
        mf.spin_square()
        return float(energy)

    return solve


def plain_mp2(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        solver = mp.MP2(mf).run()
        correlated(solver, mf)
        return float(solver.e_tot)

    return solve


def plain_ccsd(geometry: Geometry, basis: str, triples: bool) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        solver = cc.CCSD(mf).run()
        correction = solver.ccsd_t() if triples else 0.0
        correlated(solver, mf)
        return float(solver.e_tot + correction)

    return solve


def plain_eom(geometry: Geometry, basis: str, states: int) -> Work:
    def solve() -> float:
        solver = cc.CCSD(scf.RHF(molecule(geometry, basis)).run()).run()
        solver.eomee_ccsd_singlet(nroots=2 * states)  # few roots skip roots, whoever asks
        solver.eomee_ccsd_triplet(nroots=2 * states)
        return float(solver.e_tot)

    return solve


def plain_tdhf(geometry: Geometry, basis: str, states: int) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        for singlet in (True, False):
            response = tdscf.TDHF(mf)
            response.nstates, response.singlet = states, singlet
            response.kernel()
            if singlet:
                response.oscillator_strength()
        return float(mf.e_tot)

    return solve


def plain_casci(geometry: Geometry, basis: str, window: tuple[int, int]) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        solver = mcscf.CASCI(mf, window[1], window[0])
        energy = float(solver.kernel()[0])
        properties(mf, solver.make_rdm1())
        return energy

    return solve


def plain_casscf(geometry: Geometry, basis: str, window: tuple[int, int]) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        solver = mcscf.CASSCF(mf, window[1], window[0])
        energy = float(solver.kernel()[0])
        properties(mf, solver.make_rdm1())
        return energy

    return solve


def plain_fci(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        solver = fci.FCI(mf)
        energy, vector = solver.kernel()
        density = solver.make_rdm1(vector, mf.mo_coeff.shape[1], mf.mol.nelec)
        properties(mf, mf.mo_coeff @ density @ mf.mo_coeff.T)
        return float(energy)

    return solve


def plain_selected_ci(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        norb = mf.mo_coeff.shape[1]
        h1, eri = mf.mo_coeff.T @ mf.get_hcore() @ mf.mo_coeff, ao2mo.kernel(mf.mol, mf.mo_coeff)
        solver = fci.selected_ci.SelectedCI()
        energy, vector = solver.kernel(h1, eri, norb, mf.mol.nelec)
        density = solver.make_rdm1(vector, norb, mf.mol.nelec)
        properties(mf, mf.mo_coeff @ density @ mf.mo_coeff.T)
        return float(energy + mf.energy_nuc())

    return solve


def plain_optimize(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        found = geometric_solver.optimize(scf.RHF(molecule(geometry, basis)), verbose=0)
        return float(scf.RHF(found).kernel())

    return solve


def plain_frequencies(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        found = thermo.harmonic_analysis(mf.mol, mf.Hessian().kernel())
        thermo.thermo(mf, found["freq_au"], 298.15, 101325)
        properties(mf)
        return float(mf.e_tot)

    return solve


def plain_gradient(geometry: Geometry, basis: str) -> Work:
    def solve() -> float:
        mf = scf.RHF(molecule(geometry, basis)).run()
        properties(mf)
        mf.nuc_grad_method().kernel()
        return float(mf.e_tot)

    return solve


# Measuring.


def as_a_script(work: Work) -> Work:
    """With PySCF's settings as a script finds them: our solver switches its checkpoint files off for the process."""

    def solve() -> float:
        muted = hf.MUTE_CHKFILE
        hf.MUTE_CHKFILE = False
        try:
            return work()
        finally:
            hf.MUTE_CHKFILE = muted

    return solve


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def medians(*works: Callable[[], Any], rounds: int) -> list[float]:
    """Median seconds of each, taken in turn."""
    rows = [[seconds(work) for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def compare(name: str, mine: Work, theirs: Work, reach: float, rounds: int) -> None:
    """Prints both medians and their ratio."""
    theirs = as_a_script(theirs)
    begun = time.perf_counter()
    difference = abs(mine() - theirs())
    rounds = max(3, min(rounds, int(8 / (time.perf_counter() - begun + 1e-3))))
    here, there = medians(mine, theirs, rounds=rounds)
    print(
        f"{name:36} ours {1000 * here:9.2f} ms   plain PySCF {1000 * there:9.2f} ms   "
        f"ratio {there / here:5.2f} (to reach {reach:.0f})   |dE| {difference:.0e}",
        flush=True,
    )


def measure(name: str, work: Work, reach_ms: float, rounds: int) -> None:
    """Prints a median beside what it should reach."""
    work()
    (median,) = medians(work, rounds=rounds)
    print(f"{name:36} ours {1000 * median:9.2f} ms   to reach {reach_ms:.0f} ms", flush=True)


def reporting(name: str, spec: Spec, rounds: int) -> None:
    """Prints which share of a solve goes into reports that are encoded and sent through a pipe."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    spent = 0.0
    encoder = msgspec.msgpack.Encoder()

    def report(progress: Progress) -> None:
        nonlocal spent
        begun = time.perf_counter()
        os.write(writer, encoder.encode(progress))
        os.read(reader, 1 << 16)
        spent += time.perf_counter() - begun

    shares = []
    run(spec, report, lambda: False)
    for _ in range(rounds):
        spent = 0.0
        whole = seconds(lambda: run(spec, report, lambda: False))
        shares.append(spent / whole)
    os.close(reader)
    os.close(writer)
    print(f"reporting, {name:25} {100 * statistics.median(shares):9.3f} % of a run   to reach 1 %", flush=True)


def scan(name: str, geometry: Geometry, basis: str, method: dict[str, Any], stop: float) -> None:
    """Prints what a scan of 20 bond lengths of a diatomic costs beside 20 single runs."""
    start = 0.95
    task = {"name": "scan", "coordinate": {"type": "bond", "atoms": [0, 1]}, "start": start, "stop": stop, "points": 20}
    whole = ours(geometry, basis, method, task=task)
    lengths = [start + (stop - start) * index / 19 for index in range(20)]
    (first, _), (second, _) = geometry
    singles = [ours([(first, (0.0, 0.0, 0.0)), (second, (0.0, 0.0, r))], basis, method) for r in lengths]

    def one_by_one() -> float:
        return [single() for single in singles][-1]

    whole(), one_by_one()
    here, there = medians(whole, one_by_one, rounds=3)
    print(
        f"scan of 20, {name:24} ours {1000 * here:9.2f} ms   20 single runs {1000 * there:9.2f} ms   "
        f"cost {here / there:.2f} (to reach 0.8)",
        flush=True,
    )


HF = {"name": "hf"}
PBE0 = {"name": "dft", "xc": "pbe0"}
GRADIENT = {"task": {"name": "energy", "gradient": True}}
STATES = {"task": {"name": "excited_states", "n_states": 4}}
VIBRATIONS = {"task": {"name": "frequencies", "optimize_first": False}}
WINDOW_10_12 = {"active_space": {"electrons": 10, "orbitals": 12}}
WINDOW_6_6 = {"active_space": {"electrons": 6, "orbitals": 6}}


def pbe0(basis: str) -> tuple[Work, Work]:
    return ours(WATER, basis, PBE0), plain_dft(WATER, basis, "pbe0")


def cluster(name: str, geometry: Geometry, basis: str) -> tuple[Work, Work]:
    return ours(geometry, basis, {"name": name}), plain_ccsd(geometry, basis, triples=name == "ccsd(t)")


def rows() -> Iterator[tuple[str, Work, Work, float]]:
    """(name, ours, plain PySCF, ratio to reach)."""
    yield "HF H2/STO-3G", ours(HYDROGEN, "sto-3g", HF), plain_hf(HYDROGEN, "sto-3g"), 3
    yield "HF H2O/6-31G*", ours(WATER, "6-31g*", HF), plain_hf(WATER, "6-31g*"), 3
    oxygen = [("O", (0.0, 0.0, 0.0)), ("O", (0.0, 0.0, 1.2075))]
    triplet = ours(oxygen, "6-31g*", HF, molecule=_molecule(oxygen) | {"multiplicity": 3})
    yield "UHF O2/6-31G*", triplet, plain_uhf(oxygen, "6-31g*", 2), 1
    yield "HF gradient H2O/cc-pVDZ", ours(WATER, "cc-pvdz", HF, **GRADIENT), plain_gradient(WATER, "cc-pvdz"), 1
    yield "PBE0 H2O/6-31G*", *pbe0("6-31g*"), 1
    yield "PBE0 H2O/def2-TZVP", *pbe0("def2-tzvp"), 1
    yield "MP2 H2O/cc-pVTZ", ours(WATER, "cc-pvtz", {"name": "mp2"}), plain_mp2(WATER, "cc-pvtz"), 1
    yield "CCSD H2O/cc-pVDZ", *cluster("ccsd", WATER, "cc-pvdz"), 1
    yield "CCSD N2/cc-pVTZ", *cluster("ccsd", NITROGEN, "cc-pvtz"), 1
    yield "CCSD(T) H2O/cc-pVDZ", *cluster("ccsd(t)", WATER, "cc-pvdz"), 1
    yield "TDHF H2O/cc-pVDZ, 4 states", ours(WATER, "cc-pvdz", HF, **STATES), plain_tdhf(WATER, "cc-pvdz", 4), 1
    eom = ours(WATER, "6-31g*", {"name": "ccsd"}, **STATES)
    yield "EOM-CCSD H2O/6-31G*, 4 states", eom, plain_eom(WATER, "6-31g*", 4), 1
    casci = ours(NITROGEN, "cc-pvdz", {"name": "casci"}, **WINDOW_10_12)
    yield "CASCI N2/cc-pVDZ (10e,12o)", casci, plain_casci(NITROGEN, "cc-pvdz", (10, 12)), 5
    casscf = ours(NITROGEN, "cc-pvdz", {"name": "casscf"}, **WINDOW_6_6)
    yield "CASSCF N2/cc-pVDZ (6e,6o)", casscf, plain_casscf(NITROGEN, "cc-pvdz", (6, 6)), 1
    yield "FCI H2O/STO-3G", ours(WATER, "sto-3g", {"name": "fci"}), plain_fci(WATER, "sto-3g"), 1
    yield "FCI N2/STO-3G", ours(NITROGEN, "sto-3g", {"name": "fci"}), plain_fci(NITROGEN, "sto-3g"), 1
    selected = ours(WATER, "6-31g", {"name": "selected_ci", "epsilon": 3e-4})  # below PySCF's energy
    yield "selected CI H2O/6-31G", selected, plain_selected_ci(WATER, "6-31g"), 1
    optimised = ours(WATER, "6-31g*", HF, task={"name": "optimize"})
    yield "optimise HF H2O/6-31G*", optimised, plain_optimize(WATER, "6-31g*"), 1
    vibrations = ours(WATER, "6-31g*", HF, **VIBRATIONS)
    yield "frequencies HF H2O/6-31G*", vibrations, plain_frequencies(WATER, "6-31g*"), 1


def main(rounds: int, names: list[str]) -> None:
    def is_wanted(name: str) -> bool:
        return not names or name.lower().startswith(tuple(start.lower() for start in names))

    for row in rows():
        if is_wanted(row[0]):
            compare(*row, rounds)
    few = max(3, rounds // 5)
    for name, geometry, method, reach_ms in (
        ("VQE H2/STO-3G", HYDROGEN, "vqe", 100),
        ("VQE LiH/STO-3G", LITHIUM_HYDRIDE, "vqe", 500),
        ("VQE H2O/STO-3G", WATER, "vqe", 500),
        ("VQE N2/STO-3G", NITROGEN, "vqe", 5000),
        ("ADAPT-VQE LiH/STO-3G", LITHIUM_HYDRIDE, "adapt_vqe", 1000),
    ):
        if is_wanted(name):
            measure(name, ours(geometry, "sto-3g", {"name": method}), reach_ms, few)
    for name, spec in (
        ("HF H2O/6-31G*", spec_of(WATER, "6-31g*", HF)),
        ("PBE0 H2O/6-31G*", spec_of(WATER, "6-31g*", PBE0)),
        ("CCSD H2O/cc-pVDZ", spec_of(WATER, "cc-pvdz", {"name": "ccsd"})),
        ("VQE H2O/STO-3G", spec_of(WATER, "sto-3g", {"name": "vqe"})),
    ):
        if is_wanted(f"reporting, {name}"):
            reporting(name, spec, few)
    for name, basis, options, stop in (
        ("HF N2/cc-pVDZ", "cc-pvdz", HF, 1.35),
        ("HF N2/cc-pVDZ", "cc-pvdz", HF, 1.6),
        ("CCSD N2/6-31G*", "6-31g*", {"name": "ccsd"}, 1.35),
        ("PBE0 N2/6-31G*", "6-31g*", PBE0, 1.35),
        ("PBE0 N2/6-31G*", "6-31g*", PBE0, 1.6),
        ("VQE N2/STO-3G", "sto-3g", {"name": "vqe"}, 1.35),
        ("VQE N2/STO-3G", "sto-3g", {"name": "vqe"}, 1.6),
    ):
        if is_wanted(f"scan of 20, {name} to {stop}"):
            scan(f"{name} to {stop}", NITROGEN, basis, options, stop)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30, sys.argv[2:])
