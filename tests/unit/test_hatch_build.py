"""How the pages come to be built: which node is taken, and when they are built anew."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def hatch_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[2] / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FRONTEND", tmp_path / "frontend")
    monkeypatch.setattr(module, "STATIC", tmp_path / "static")
    (tmp_path / "frontend").mkdir()
    (tmp_path / "static").mkdir()
    return module


def _tool(folder: Path, name: str, says: str = "") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {says}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(("version", "is_usable"), [("v18.0.0", True), ("v24.1.0", True), ("v16.20.2", False)])
def test_a_node_counts_when_it_is_new_enough(
    hatch_build: ModuleType, tmp_path: Path, version: str, is_usable: bool
) -> None:
    _tool(tmp_path / "bin", "node", version)
    _tool(tmp_path / "bin", "npm")
    assert (hatch_build.usable_node(str(tmp_path / "bin")) is not None) == is_usable


def test_a_node_without_npm_does_not_count(hatch_build: ModuleType, tmp_path: Path) -> None:
    _tool(tmp_path / "bin", "node", "v20.0.0")
    assert hatch_build.usable_node(str(tmp_path / "bin")) is None


def test_without_a_node_the_build_brings_one_and_with_built_pages_it_needs_none(
    hatch_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    hook = object.__new__(hatch_build.WebPages)
    assert hook.dependencies() == [hatch_build.NODE_PACKAGE]
    (tmp_path / "static/manifest.json").write_text("{}")
    assert hook.dependencies() == []


def test_pages_older_than_a_source_are_not_built(hatch_build: ModuleType, tmp_path: Path) -> None:
    manifest, source = tmp_path / "static/manifest.json", tmp_path / "frontend/main.ts"
    manifest.write_text("{}")
    source.write_text("")
    os.utime(manifest, (1_000, 1_000))
    os.utime(source, (1_000, 1_000))
    assert hatch_build.is_built()
    os.utime(source, (2_000, 2_000))
    assert not hatch_build.is_built()
