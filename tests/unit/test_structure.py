"""Promises about the house itself: what an import loads, which way the arrows point, what is never called."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "src/kanad_server"
SOLVERS = ROOT / "solvers/kanad_solvers"
SOURCES = sorted([*SERVER.rglob("*.py"), *SOLVERS.rglob("*.py")])


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """The modules that a file imports (outside functions only, with `top_level`)."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "module",
    [
        "kanad_server",
        "kanad_solvers",
        "kanad_server.client",
        "kanad_server.cli",
        "kanad_server.load.conductor",
        "kanad_server.app",
        "kanad_server.serve",
    ],
)
def test_an_import_loads_neither_pyscf_nor_rdkit(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'pyscf', 'rdkit', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_package_promises_is_there() -> None:
    import kanad_server
    import kanad_server.client
    import kanad_server.wire

    for package in (kanad_server, kanad_server.client, kanad_server.wire):
        assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_solvers_never_import_the_server() -> None:
    for path in SOLVERS.rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("kanad_server")], path


@pytest.mark.parametrize(
    ("room", "above"),
    [
        ("hub.py", ("http", "journal", "dispatch", "service", "engines")),
        ("journal.py", ("http", "dispatch", "service", "engines")),
        ("lifecycle.py", ("http", "dispatch", "service", "engines", "journal", "store", "hub")),
        ("store", ("http", "dispatch", "service", "engines", "journal", "hub")),
        ("engines", ("http", "dispatch", "service", "journal", "store", "hub")),
        ("dispatch.py", ("http", "service")),
        ("client", ("http", "dispatch", "service", "engines", "journal", "store", "hub", "app", "serve")),
        ("load", ("http", "dispatch", "service", "engines", "journal", "store", "hub", "app", "serve", "cli")),
        ("cli", ("http", "dispatch", "service", "engines", "journal", "store", "hub", "app")),
    ],
)
def test_arrows_point_down(room: str, above: tuple[str, ...]) -> None:
    place = SERVER / room
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        wrong = [name for name in imports(path) for other in above if f"{name}.".startswith(f"kanad_server.{other}.")]
        assert wrong == [], path


def test_nothing_evaluates_unpickles_or_calls_a_shell() -> None:
    forbidden = {"eval", "exec", "compile", "__import__"}
    dotted = {"pickle.loads", "pickle.load", "yaml.load", "os.system", "os.popen", "subprocess.getoutput"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    assert node.func.id not in forbidden, path
                if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                    assert f"{node.func.value.id}.{node.func.attr}" not in dotted, path
                shell = [word for word in node.keywords if word.arg == "shell"]
                assert not shell, path


def test_only_settings_reads_our_environment() -> None:
    readers = {path.name for path in SOURCES if "KANAD_" in path.read_text() and "os.environ" in path.read_text()}
    # The probe's ledger is read in a worker, which has no settings.
    assert readers <= {"settings.py", "probe.py", "forkserver.py"}


def test_tasks_are_named_and_loops_are_not_passed_around() -> None:
    for path in SERVER.rglob("*.py"):
        text = path.read_text()
        assert "get_event_loop(" not in text, path
        assert "ensure_future(" not in text, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_task":
                assert [word for word in node.keywords if word.arg == "name"], f"{path}:{node.lineno}"
