"""What the server is built from: pinned by hash, without an address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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
