"""Hostile strings: tests/data/hostile.txt, one a line.

Each has the mark of `tests.support.canaries` in it, or names a place of the machine; `{folder}` is one of the test.
"""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).parents[1] / "data/hostile.txt"


def strings(folder: str) -> list[str]:
    """The corpus, its escapes read and its places filled in."""
    lines = FILE.read_text(encoding="ascii").splitlines()
    return [line.encode().decode("unicode_escape").replace("{folder}", folder) for line in lines]
