"""Perturbation theory and coupled cluster on one determinant: MP2, CCSD and CCSD(T)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyscf import cc, mp
from pyscf.data.elements import chemcore
from pyscf.lib import logger

from kanad_solvers import cost, fields, frames, gradients, mean_field, mole, properties, pyscf_log
from kanad_solvers.errors import NotConverged
from kanad_solvers.properties import Array
from kanad_solvers.result import Result
from kanad_solvers.run import Watch
from kanad_solvers.self_consistent import converge
from kanad_solvers.spec import Correlated, CoupledCluster, Energy, MollerPlesset, PerturbativeTriples, Spec

if TYPE_CHECKING:
    from kanad_solvers.prepare import Parsed

MEMORY = "ccsd"
T1_LIMIT_OPEN = 0.044  # Jayatilaka and Lee, J. Chem. Phys. 98, 9734 (1993)
# Janssen and Nielsen, Chem. Phys. Lett. 290, 423 (1998). For closed shells T1 does not decide: that of anions such as
# F- and OH- in diffuse functions is above 0.02, where their orbitals relax and one determinant is enough.
D1_LIMIT = 0.05
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
    with watch.beating("integral transformation", cost.transformation_seconds(field.mol.nao)):
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
    solver.kanad_integrals = integrals  # PySCF would transform them again for Lambda, triples, roots and gradients
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
    with pyscf_log.heard(solver, pyscf_log.triples(watch, virtuals), logger.DEBUG1):
        return float(solver.ccsd_t(eris=solver.kanad_integrals))


def _solve_lambda(solver: Any, watch: Watch) -> None:
    """Solves the Lambda equations of CCSD, which its density needs, unless they are solved."""
    if solver.l1 is None:
        watch.check()
        with pyscf_log.heard(solver, pyscf_log.lambda_equations(watch, solver.conv_tol_normt), logger.INFO):
            solver.solve_lambda(eris=solver.kanad_integrals)


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
        # PySCF 2.14's analytic one, with the Lambda of CCSD(T), is off by 1e-3 hartree/bohr (OH radical).
        gradient = gradients.numerical_gradient(solve, spec, molecule, watch)
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
        _solve_lambda(solver, watch)
        if not solver.converged_lambda:
            watch.warn("the Lambda equations of CCSD did not converge: properties are less accurate than the energy")
        label = "ccsd (unrelaxed)"
    watch.check()
    total, spin = mean_field.split(solver.make_rdm1(ao_repr=True))
    return properties.from_density(field.mol, total, spin, field.get_ovlp(), label, gradient)


def _gradient(solver: Any, with_triples: bool, watch: Watch) -> Array:
    """Analytic nuclear gradient, shape (natm, 3), hartree/bohr."""
    if not isinstance(solver, cc.ccsd.CCSDBase):
        return gradients.analytic(solver.nuc_grad_method(), watch)
    integrals = solver.kanad_integrals
    if not with_triples:
        _solve_lambda(solver, watch)
        return gradients.analytic(solver.nuc_grad_method(), watch, eris=integrals)
    from pyscf.cc import ccsd_t_lambda
    from pyscf.grad import ccsd_t

    # Left to itself, PySCF's gradient takes the Lambda of CCSD and is off by 1e-3 hartree/bohr.
    with pyscf_log.heard(solver, pyscf_log.lambda_equations(watch, solver.conv_tol_normt), logger.INFO):
        converged, l1, l2 = ccsd_t_lambda.kernel(
            solver, integrals, solver.t1, solver.t2, max_cycle=solver.max_cycle, tol=solver.conv_tol_normt
        )
    if not converged:
        watch.warn("the Lambda equations of CCSD(T) did not converge: the gradient is less accurate than the energy")
    return gradients.analytic(ccsd_t.Gradients(solver), watch, l1=l1, l2=l2, eris=integrals)


def _diagnostics(solver: Any, field: Any, watch: Watch) -> dict[str, float]:
    """How far one determinant is from enough; warns where it is not."""
    if not isinstance(solver, cc.ccsd.CCSDBase):
        return {}
    t1 = float(solver.get_t1_diagnostic()) if hasattr(solver, "get_t1_diagnostic") else _t1_norm(solver)
    largest = float(max(np.abs(part).max(initial=0.0) for part in np_parts(solver.t2)))
    found = {"t1": t1, "largest_t2": largest}
    if fields.kind_of(field) == "rhf":
        found["d1"] = float(solver.get_d1_diagnostic())
        singles_are_large = found["d1"] > D1_LIMIT
    else:
        singles_are_large = t1 > T1_LIMIT_OPEN
    if singles_are_large or largest > LARGE_AMPLITUDE:
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
