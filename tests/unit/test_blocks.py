"""Every code block of the docs is run or checked by a test; the commands among them are ones that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from kanad_server.cli.main import app
from tests.support.docs import BLOCKS, ELSEWHERE, ROOT, Block, commands, kanad_words, words_of

SHELL = [pytest.param(block, id=block.name) for block in BLOCKS if block.language in ("sh", "console")]


def test_every_block_is_run_or_checked() -> None:
    assert [block.name for block in BLOCKS if block.kind == "unchecked"] == []


def test_a_block_that_nothing_runs_is_noticed() -> None:
    assert Block("new", "yaml", "a: 1\n").kind == "unchecked"
    assert Block("new", "json", '{"a": 1}').kind == "unchecked"
    assert Block("new", "text", "words\n").kind == "unchecked"
    assert Block("new", "", "words\n").kind == "unchecked"


def test_blocks_that_are_not_run_are_there_and_their_tests_too() -> None:
    assert {block.elsewhere for block in BLOCKS} - {None} == set(ELSEWHERE)
    for told in ELSEWHERE.values():
        assert all(Path(ROOT, name).is_file() for name in re.findall(r"tests/\S+\.py", told)), told


@pytest.mark.parametrize("block", SHELL)
def test_the_shell_can_read_a_block(block: Block) -> None:
    for command, _ in commands(block.code):
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command


@pytest.mark.parametrize("block", SHELL)
def test_the_files_and_targets_of_a_block_are_there(block: Block) -> None:
    for command, _ in commands(block.code):
        for words in words_of(command):
            named = [word for word in words if re.match(r"(examples|deploy)/|requirements\.lock$", word)]
            assert [word for word in named if not (ROOT / word).exists()] == [], command
            if words[0] == "make":
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("block", SHELL)
def test_kanad_understands_what_a_block_says_to_it(block: Block) -> None:
    for command, _ in commands(block.code):
        for words in words_of(command):
            said = kanad_words(words)
            if said is not None:
                understood(said)


def understood(words: list[str]) -> None:
    """The words are parsed, and nothing is run."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        context = command.context_class(command, parent=context, info_name=name)
    command.parse_args(context, list(words))


def test_an_option_that_there_is_not_is_noticed() -> None:
    understood(["token", "create", "--name", "ana"])
    with pytest.raises(Exception, match="No such option"):
        understood(["token", "create", "--name", "ana", "--colour", "red"])
