"""What the server is built from: pinned by hash, without an address, and as heavy as the docs say."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(
    r"^([\w.-]+)==(\S+?)(?: ; ([^\\]+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def test_the_lock_pins_everything_by_hash_and_names_no_address() -> None:
    assert PIN.sub("", LOCK) == ""  # so there is nothing else in it: no address, no option, no path
    versions = {canonicalize_name(match[1]): match[2] for match in PIN.finditer(LOCK)}
    for match in PIN.finditer(LOCK):
        assert match[3] is None or Marker(match[3])
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, text


WEIGHS = re.compile(r"^\| `kanad-server(?:\[(\w+)\])?` \|.*\| (?:\+ )?(\d+) MB", re.MULTILINE)
TABLE = {extra: int(size) for extra, size in WEIGHS.findall((ROOT / "docs/operations.md").read_text())}


def needed(extra: str) -> set[str]:
    """What an installation with an extra consists of.

    Raises:
        PackageNotFoundError: some of it is not installed here.
    """
    found: set[tuple[str, str]] = set()
    left = [("kanad-server", extra), ("kanad-server", "")]
    while left:
        name, wanted = left.pop()
        if (name, wanted) not in found:
            found.add((name, wanted))
            for requirement in map(Requirement, distribution(name).requires or []):
                if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                    left += [(canonicalize_name(requirement.name), more) for more in ("", *requirement.extras)]
    return {name for name, _ in found}


@cache
def weight_mb(name: str) -> float:
    """Of the files that were installed, without the bytecode that some installers make of them at once."""
    files = [file for file in distribution(name).files or [] if "__pycache__" not in file.parts]
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.exists()) / 2**20


@pytest.mark.parametrize("extra", sorted(TABLE))
def test_an_installation_weighs_what_the_table_says(extra: str) -> None:
    try:
        names = needed(extra)
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed here")
    found = sum(map(weight_mb, names if extra == "" else names - needed("")))
    assert TABLE[extra] / 1.5 - 5 < found < TABLE[extra] * 1.5 + 5  # another Python, other versions
