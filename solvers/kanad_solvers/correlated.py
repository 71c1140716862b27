"""Perturbation theory and coupled cluster on one determinant: MP2, CCSD and CCSD(T)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import cc, mp
from pyscf.data.elements import chemcore
from pyscf.lib import logger

from kanad_solvers import cost, fields, frames, mean_field, mole, properties, pyscf_log
from kanad_solvers.errors import NotConverged
from kanad_solvers.numerical_gradient import numerical_gradient
from kanad_solvers.properties import Array
from kanad_solvers.result import Result
from kanad_solvers.run import Watch
from kanad_solvers.self_consistent import converge
from kanad_solvers.spec import Correlated, CoupledCluster, Energy, MollerPlesset, PerturbativeTriples, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "ccsd"
T1_LIMIT = 0.02  # Lee and Taylor, Int. J. Quantum Chem. Symp. 23, 199 (1989), for closed shells
T1_LIMIT_OPEN = 0.044  # Jayatilaka and Lee, J. Chem. Phys. 98, 9734 (1993)
D1_LIMIT = 0.05  # Janssen and Nielsen, Chem. Phys. Lett. 290, 423 (1998)
LARGE_AMPLITUDE = 0.15  # picked: half of a configuration's weight in a two-state problem lies near 0.4


def solve(spec: Spec, molecule: Parsed, watch: Watch) -> Result:
    """The correlation energy, with properties from the method's own unrelaxed density and, if asked for, the gradient.

    Raises:
        InvalidSpec: a restricted reference was asked for unpaired electrons.
        NotConverged: the reference or the amplitudes gave no finite energy.
    """
    method = spec.method
    assert isinstance(method, Correlated)
    last = 3
    field = converge(mole.build(spec, molecule), spec, watch)
    watch.stage(0, last, "HF reference computed", field.e_tot)
    if isinstance(method, MollerPlesset):
        solver = perturbation(field, frozen_orbitals(method, field), watch)
    else:
        assert isinstance(method, CoupledCluster)
        solver = coupled_cluster(field, method, watch)
    watch.stage(1, last, "Amplitudes solved", solver.e_tot)
    triples = _triples(solver, watch) if isinstance(method, PerturbativeTriples) else None
    energy = float(solver.e_tot) + (triples or 0.0)
    watch.stage(2, last, "Correlation energy computed", energy)
    result = describe(spec, molecule, field, solver, triples, watch)
    watch.stage(3, last, "Properties computed", energy)
    return result


def frozen_orbitals(method: Correlated, field: Any) -> int:
    """Orbitals of each spin that stay doubly occupied: the core where it is frozen."""
    return int(chemcore(field.mol)) if method.frozen_core else 0


# Methods


def perturbation(field: Any, frozen: int, watch: Watch) -> Any:
    """A finished PySCF MP2 object (restricted or unrestricted as the field is)."""
    solver = mp.MP2(field, frozen=frozen or None)
    solver.verbose = 0
    watch.check()
    solver.kernel()
    watch.converge("mp2", 1, float(solver.e_tot), float(solver.e_corr))
    return solver


def coupled_cluster(field: Any, method: CoupledCluster, watch: Watch) -> Any:
    """A finished PySCF CCSD object, begun from the amplitudes of a neighbour or a lost attempt where they fit.

    Raises:
        NotConverged: the correlation energy is not finite.
    """
    solver = cc.CCSD(field, frozen=frozen_orbitals(method, field) or None)
    solver.conv_tol, solver.max_cycle = method.conv_tol, method.max_iterations
    # A change of energy of conv_tol goes with amplitudes that move by about its square root.
    solver.conv_tol_normt = max(1e-7, min(1e-5, method.conv_tol**0.5 / 10))
    pyscf_log.listen(solver, pyscf_log.coupled_cluster(watch, "ccsd", float(field.e_tot)), logger.INFO)
    frame = frames.frame(field.mol, _correlated_orbitals(solver))
    solver.callback = lambda cycle: watch.memory.keep(MEMORY, **_named(cycle["t1"], cycle["t2"]), frame=frame)
    with watch.beating("integral transformation", cost.transformation_seconds(field.mol.nao)):
        integrals = solver.ao2mo()
    solver.kernel(*_kept_amplitudes(solver, frame, watch), eris=integrals)
    watch.memory.keep(MEMORY, **_named(solver.t1, solver.t2), frame=frame)
    if not np.isfinite(solver.e_tot):
        raise NotConverged(f"ccsd gave the energy {solver.e_tot}", last_energy_hartree=float(field.e_tot))
    if not solver.converged:
        watch.warn(
            f"CCSD did not reach {method.conv_tol:g} hartree in {method.max_iterations} iterations: "
            "raise max_iterations, or the molecule needs a multireference method"
        )
    solver.verbose = 0
    return solver


def _named(t1: Any, t2: Any) -> dict[str, Any]:
    if isinstance(t1, tuple):
        return {"t1a": t1[0], "t1b": t1[1], "t2aa": t2[0], "t2ab": t2[1], "t2bb": t2[2]}
    return {"t1": t1, "t2": t2}


def _correlated_orbitals(solver: Any) -> Any:
    """Coefficients of the orbitals that are not frozen, shape (nao, nmo), or a list of two."""
    mask = solver.get_frozen_mask()
    if isinstance(solver, cc.uccsd.UCCSD):
        return [coefficients[:, kept] for coefficients, kept in zip(solver.mo_coeff, mask, strict=True)]
    return solver.mo_coeff[:, mask]


def _kept_amplitudes(solver: Any, frame: Array, watch: Watch) -> tuple[Any, Any]:
    """Amplitudes to begin with, turned into the orbitals at hand, or (None, None)."""
    kept = watch.recall(MEMORY, "CCSD amplitudes")
    if kept is None or kept["frame"].shape != frame.shape:
        return None, None
    nocc, nmo = solver.nocc, solver.nmo
    if isinstance(solver, cc.uccsd.UCCSD):
        shapes = {name: (n, m - n) for name, n, m in zip(("t1a", "t1b"), nocc, nmo, strict=True)}
    else:
        shapes = {"t1": (nocc, nmo - nocc)}
    if any(name not in kept or kept[name].shape != shape for name, shape in shapes.items()):
        return None, None
    found = frames.turned(kept, frame)
    if "t1" in found:
        return found["t1"], found["t2"]
    return (found["t1a"], found["t1b"]), (found["t2aa"], found["t2ab"], found["t2bb"])


def _triples(solver: Any, watch: Watch) -> float:
    """The perturbative triples correction (Raghavachari et al., Chem. Phys. Lett. 157, 479 (1989)), hartree."""
    virtuals = int(np.max(np.asarray(solver.nmo) - np.asarray(solver.nocc)))
    pyscf_log.listen(solver, pyscf_log.triples(watch, virtuals), logger.DEBUG1)
    try:
        return float(solver.ccsd_t())
    finally:
        solver.verbose = 0


# Result


def describe(spec: Spec, molecule: Parsed, field: Any, solver: Any, triples: float | None, watch: Watch) -> Result:
    """The result of finished amplitudes, `triples` being the (T) correction in hartree where there is one."""
    energy = float(solver.e_tot) + (triples or 0.0)
    asked = isinstance(spec.task, Energy) and spec.task.gradient
    parts = mean_field.components(field) | {"correlation_hartree": energy - float(field.e_tot)}
    if triples is not None:
        parts["triples_hartree"] = triples
    converged = bool(field.converged) and bool(getattr(solver, "converged", True))
    if not asked:
        gradient = None
    elif triples is not None and isinstance(solver, cc.uccsd.UCCSD):
        # PySCF 2.14's analytic one is off by 1e-3 hartree/bohr (OH radical, against differences of its energies).
        gradient = numerical_gradient(solve, spec, molecule, watch)
    else:
        gradient = _gradient(solver, triples is not None, watch)
    watch.has_left_out = watch.energies_only
    return Result(
        energy_hartree=energy,
        converged=converged,
        components=parts,
        reference=mean_field.describe(field),
        orbitals=properties.orbitals(field.mo_energy, field.mo_occ),
        properties=None if watch.energies_only else _properties(field, solver, gradient, watch),
        comparisons={"hf": float(field.e_tot)} | ({"ccsd": float(solver.e_tot)} if triples is not None else {}),
        diagnostics=_diagnostics(solver, field, watch),
    )


def _properties(field: Any, solver: Any, gradient: Any, watch: Watch) -> Any:
    """Properties of the unrelaxed density: of first order for MP2, with the Lambda equations for CCSD and CCSD(T)."""
    label = "mp2 (unrelaxed)"
    if isinstance(solver, cc.ccsd.CCSDBase):
        if solver.l1 is None:
            watch.check()
            solver.solve_lambda()
        if not solver.converged_lambda:
            watch.warn("the Lambda equations of CCSD did not converge: properties are less accurate than the energy")
        label = "ccsd (unrelaxed)"
    watch.check()
    total, spin = mean_field.split(solver.make_rdm1(ao_repr=True))
    return properties.from_density(field.mol, total, spin, field.get_ovlp(), label, gradient)


def _gradient(solver: Any, with_triples: bool, watch: Watch) -> Any:
    """Analytic nuclear gradient, shape (natm, 3), hartree/bohr."""
    watch.check()
    if not with_triples:
        made = solver.nuc_grad_method()
    else:
        from pyscf.grad import ccsd_t

        made = ccsd_t.Gradients(solver)
    made.verbose = 0
    return made.kernel()


def _diagnostics(solver: Any, field: Any, watch: Watch) -> dict[str, float]:
    """How far one determinant is from enough; warns where it is not."""
    if not isinstance(solver, cc.ccsd.CCSDBase):
        return {}
    t1 = float(solver.get_t1_diagnostic()) if hasattr(solver, "get_t1_diagnostic") else _t1_norm(solver)
    largest = float(max(np.abs(part).max(initial=0.0) for part in np_parts(solver.t2)))
    found = {"t1": t1, "largest_t2": largest}
    limit = T1_LIMIT if fields.kind_of(field) == "rhf" else T1_LIMIT_OPEN
    if fields.kind_of(field) == "rhf":
        found["d1"] = float(solver.get_d1_diagnostic())
    if t1 > limit or found.get("d1", 0.0) > D1_LIMIT or largest > LARGE_AMPLITUDE:
        watch.warn(
            "one determinant may not be enough here (see diagnostics): coupled cluster is not variational and can lie "
            "below the exact energy; compare with casscf"
        )
    return found


def np_parts(amplitudes: Any) -> tuple[Any, ...]:
    """The arrays of restricted (one) or unrestricted (several) amplitudes."""
    return amplitudes if isinstance(amplitudes, tuple) else (amplitudes,)


def _t1_norm(solver: Any) -> float:
    """T1 diagnostic of an unrestricted solution: norm of the singles over the square root of the electrons."""
    electrons = int(np.sum(solver.nocc))
    return float(np.sqrt(sum(np.sum(part**2) for part in np_parts(solver.t1)) / electrons))
