"""Imported once by the forkserver: what every worker needs is then shared memory."""

import gc
import importlib

for name in (
    "pyscf.gto",
    "pyscf.scf",
    "pyscf.fci",
    "pyscf.ao2mo",
    "pyscf.cc",
    "rdkit.Chem.rdDistGeom",
    "rdkit.Chem.rdForceFieldHelpers",
    "kanad_solvers.run",
    "kanad_solvers.prepare",
    "kanad_server.engines.worker",
):
    importlib.import_module(name)

gc.collect()
gc.freeze()  # a collection in a worker then does not touch, and so copy, the shared pages
