"""Strings that must stay strings, where they are put, and the hook that sees when one does not."""

from __future__ import annotations

from typing import Any

MARK = "kanarie"
PLACES = ("/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/mem", "/proc/1/environ", "/dev/zero")
HOOK = f"""
import os, sys

def _watch(event, args, names=frozenset({{
    "open", "compile", "exec", "import", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
    "os.listdir", "os.scandir", "pickle.find_class", "ctypes.dlopen", "socket.connect", "glob.glob",
}})):
    if event in names and ({MARK!r} in repr(args).lower() or (args or (0,))[0] in {PLACES!r}):
        descriptor = os.open(os.environ["PYTHONPATH"] + "/caught", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, (event + " " + repr(args)[:300] + chr(10)).encode())
        os.close(descriptor)

sys.addaudithook(_watch)
"""
H2 = [{"symbol": "H", "position_angstrom": [0.0, 0.0, z]} for z in (0.0, 0.7414)]


def specs(canary: str) -> list[dict[str, Any]]:
    """One spec for each string field, the canary in it."""
    good = {"molecule": {"atoms": H2}, "method": {"name": "hf"}}
    sqd = {"name": "sqd", "sampler": "counts", "counts": {canary: 1}}
    return [
        good | {"name": canary[:200], "tags": [canary[:64]]},
        good | {"molecule": {"smiles": canary}},
        good | {"molecule": {"xyz": canary}},
        good | {"molecule": {"xyz": f"2\n{canary}\nH 0 0 0\nH 0 0 0.7\n"}},
        good | {"molecule": {"xyz": f"1\n\n{canary} 0 0 0\n"}},
        good | {"molecule": {"library": canary[:100]}},
        good | {"molecule": {"atoms": [*H2, {"symbol": canary, "position_angstrom": [0, 0, 3]}]}},
        good | {"molecule": {"atoms": [*H2, {"symbol": "H", "position_angstrom": [canary, 0, 3]}]}},
        good | {"molecule": {"atoms": H2, "charge": canary}},
        good | {"basis": canary[:50]},
        good | {"basis": {"H": canary}},
        good | {"method": {"name": canary}},
        good | {"method": {"name": "hf", "reference": canary}},
        good | {"method": {"name": "hf", canary: canary}},
        good | {"method": sqd},
        good | {"method": {"name": "fci", "spin": canary}},
        good | {"task": {"name": canary}},
        good | {"solvent": canary},
        good | {"solvent": {"model": canary, "name": canary}},
        good | {canary: canary},
    ]
