"""The docs name what there is: settings, routes, fields, codes; and their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from kanad_server import wire
from kanad_server.app import routes
from kanad_server.http.rules import RULES
from kanad_server.settings import Settings
from kanad_solvers import result, spec
from kanad_solvers.registry import METHODS, TASKS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_every_setting_is_in_the_table_with_its_default() -> None:
    for field in msgspec.structs.fields(Settings):
        row = next(line for line in README.splitlines() if f"`KANAD_{field.name.upper()}`" in line)
        if field.default not in (msgspec.NODEFAULT, ""):
            shown = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert f"`{shown}`" in row


def test_every_route_is_described() -> None:
    for entry in routes():
        prefix, inner = (entry.path, entry.routes) if isinstance(entry, Mount) else ("", [entry])
        for route in inner:
            assert isinstance(route, Route | WebSocketRoute)
            methods = ["WS"] if isinstance(route, WebSocketRoute) else sorted((route.methods or set()) - {"HEAD"})
            for method in methods:
                assert f"`{method} {prefix}{route.path}`" in PROTOCOL


@pytest.mark.parametrize(
    "struct",
    [
        wire.Experiment, wire.Percentage, wire.Estimate, wire.ParsedMolecule, wire.System, wire.SlotView,
        wire.Problem, *get_args(wire.Event), *get_args(wire.ClientOp),
        *get_args(wire.ServerReply), result.Result, result.ElectronicState, result.Orbitals,
        result.Properties, result.Reference, result.Circuit, result.Provenance, result.Optimization,
        result.Frequencies, result.ScanCurve, result.VariationalSearch, result.Sampling, result.SamplingIteration,
        spec.Spec, spec.Molecule, spec.Solvent, spec.Coordinate,
        spec.ActiveSpace, spec.Limits, *get_args(spec.Method), *get_args(spec.Task),
    ],
    ids=lambda struct: struct.__name__,
)  # fmt: skip
def test_every_field_is_named(struct: type[msgspec.Struct]) -> None:
    missing = [field for field in struct.__struct_fields__ if not re.search(rf"[`\"]{field}[`\"]", PROTOCOL)]
    assert missing == []


def test_every_code_of_a_refusal_is_listed() -> None:
    codes = set()
    for source in (ROOT / "src/kanad_server").rglob("*.py"):
        if source.name != "serve.py":
            codes |= set(
                re.findall(
                    r"(?:Malformed|Unauthorized|TooMany|Forbidden|NotFound|Conflict|BodyTooLarge|NotJson|Impossible|Unavailable)"
                    r"\(\s*\"(\w+)\"",
                    source.read_text(),
                )
            )
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in PROTOCOL} == set()


def test_every_method_and_task_is_in_the_readme() -> None:
    for name in (*METHODS, *TASKS):
        assert f"`{name}`" in README


def test_the_site_shows_every_page_once() -> None:
    shown = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} <= set(shown)


def test_the_calls_that_take_the_place_of_the_originals_are_there() -> None:
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|", (ROOT / "docs/migration.md").read_text(), re.MULTILINE)
    calls = {call.partition("?")[0] for row in rows for call in re.findall(r"`((?:GET|POST|DELETE) [^`]+)`", row)}
    assert len(calls) > 15
    assert calls - set(RULES) == set()


def test_every_extra_is_in_the_table_with_its_weight() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    operations = (ROOT / "docs/operations.md").read_text()
    assert [name for name in project["optional-dependencies"] if f"`kanad-server[{name}]`" not in operations] == []


def test_the_doctors_findings_are_each_in_the_table_of_what_to_do() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    names = set(re.findall(r'_(?:broken|warning)\(\s*"([a-z ]+)"', (ROOT / "src/kanad_server/doctor.py").read_text()))
    assert len(names) >= 8
    assert {name for name in names if f"| {name}: " not in operations} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
