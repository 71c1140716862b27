"""Imported once by the forkserver: what every worker needs is then shared memory."""

import atexit
import gc
import importlib
import os
import shutil

from kanad_server.engines.forkserver import SOCKET_VARIABLE
from kanad_solvers.registry import modules

# The forkserver ends in order when the server and all workers have gone, however they went; workers do not run this.
atexit.register(shutil.rmtree, os.environ.pop(SOCKET_VARIABLE), ignore_errors=True)

gc.disable()  # what is loaded here stays; looking it through while it grows takes a tenth of the time
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

gc.enable()
gc.collect()
gc.freeze()  # a collection in a worker then does not touch, and so copy, the shared pages
