"""Imported once by the forkserver: what every worker needs is then shared memory."""

import gc
import importlib

from kanad_solvers.registry import modules

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
    "kanad_solvers.excited",
    "kanad_server.engines.worker",
    *modules(),
):
    importlib.import_module(name)

gc.collect()
gc.freeze()  # a collection in a worker then does not touch, and so copy, the shared pages
