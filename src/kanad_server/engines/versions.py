"""The versions that decide numbers: a result made with others is not used again."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from kanad_solvers.result import Result

DISTRIBUTIONS = {"kanad_solvers": "kanad-server", "numpy": "numpy", "pyscf": "pyscf", "scipy": "scipy"}
"""What `provenance.versions` names, and the distribution that it comes from."""


def made_with(result: Result) -> str | None:
    """What made a converged result; None for one that is not to be used again."""
    if not result.converged or result.provenance is None:
        return None
    return _text(result.provenance.versions)


@cache
def present() -> str:
    """What would make it now."""
    return _text({name: metadata.version(distribution) for name, distribution in DISTRIBUTIONS.items()})


def _text(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions.get(name)}" for name in DISTRIBUTIONS)
