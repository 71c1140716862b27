"""The code blocks of the docs, and who runs or checks each of them."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *(page for folder in ("docs", "deploy", "examples", "bench") for page in sorted((ROOT / folder).rglob("*.md"))),
)
_FENCE = re.compile(r"^( *)(```+|~~~+) *(\S*)[^\n]*\n(.*?)^\1\2", re.DOTALL | re.MULTILINE)

ELSEWHERE = {
    "make run ": "tests/acceptance/test_wheel.py installs and serves; CI is `make test`",
    "pip install kanad-server\n": "tests/acceptance/test_wheel.py",
    "pip install 'kanad-server[dask]'": "tests/engines/test_recipes.py",
    "dask scheduler --protocol tls": "tests/engines/test_tls.py",
    "sbatch ": "tests/engines/test_recipes.py, without Slurm",
    "apiVersion: kubernetes.dask.org": "tests/deploy/test_kubernetes.py",
    "python3 -m venv /opt/kanad": "changes the machine; tests/unit/test_supply.py holds the lock file",
    "useradd ": "changes the machine; tests/deploy/test_deploy.py has systemd check the unit",
    "export KANAD_NAME": "needs Docker; tests/deploy/test_deploy.py checks the files",
    '{"molecule": {"smiles": "[H][H]", "basis"': "the original server's body; the next block is ours",
    " browser, script, kanad run": "a drawing",
}
"""Blocks that tests/acceptance/test_examples.py does not run, by how they begin: who does, or why nobody can."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `printed_by` is the Python right above that prints it."""

    name: str
    language: str
    code: str
    printed_by: str | None = None

    @property
    def elsewhere(self) -> str | None:
        """The entry of `ELSEWHERE` that it has."""
        return next((begin for begin in ELSEWHERE if self.code.startswith(begin)), None)

    @property
    def kind(self) -> str:
        """How it is checked: elsewhere, python, output, commands, spec, campaign, refusal; or unchecked."""
        if self.elsewhere is not None:
            return "elsewhere"
        if self.language == "text":
            return "unchecked" if self.printed_by is None else "output"
        if self.language in ("sh", "console"):
            return "commands"
        if self.language == "json":
            fields = json.loads(self.code).keys()
            found = {"method": "spec", "grid": "campaign", "detail": "refusal"}
            return next((kind for field, kind in found.items() if field in fields), "unchecked")
        return "python" if self.language == "python" else "unchecked"


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found: list[Block] = []
    end = 0
    for number, match in enumerate(_FENCE.finditer(text)):
        between = text[end : match.start()].strip()
        follows = bool(found) and found[-1].language == "python" and (not between or between.startswith("prints "))
        name = f"{page.relative_to(ROOT)}-{number}".replace("/", "-")
        found.append(Block(name, match[3], match[4], found[-1].code if follows else None))
        end = match.end()
    return found


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def commands(code: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the output that is shown below it (of a console)."""
    found: list[tuple[str, list[str]]] = []
    is_console = code.startswith("$ ")
    for written in re.sub(r"\\\n\s*", "", code).splitlines():
        line = re.sub(r"\s+# .*", "", written)
        if is_console and not line.startswith("$ "):
            found[-1][1].append(line)
        elif not is_console and found and found[-1][0].count("'") % 2:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            found.append((line.removeprefix("$ "), []))
    return found


def words_of(command: str) -> list[list[str]]:
    """The simple commands of a line, as words; where output goes is left out."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    simple: list[list[str]] = [[]]
    skips = False
    for word in lexer:
        if set(word) <= set("|&;"):
            simple.append([])
        elif not skips and word != ">":
            simple[-1].append(word)
        skips = word == ">"
    return [words for words in simple if words]


def kanad_words(words: list[str]) -> list[str] | None:
    """What is said to `kanad`, by its own name or as a service of compose; None where it is not called."""
    names = [place for place, word in enumerate(words) if Path(word).name == "kanad" and "=" not in word]
    if not names or (names[0] > 0 and words[0] != "docker" and not all("=" in word for word in words[: names[0]])):
        return None
    return words[names[0] + 1 :]
