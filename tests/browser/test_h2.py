"""The pages in a real browser: `make test-browser`, with Chromium and Node on the machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import Server

ROOT = Path(__file__).parents[2]
PLAYWRIGHT = ROOT / "frontend/node_modules/playwright-core/index.mjs"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
# RHF/STO-3G at 0.7414 angstrom, by PySCF.
H2_HARTREE = -1.11668439

pytestmark = pytest.mark.browser


def test_h2_in_three_clicks(server: Server) -> None:
    assert NODE, "needs Node"
    assert CHROMIUM, "needs Chromium"
    assert PLAYWRIGHT.exists(), "needs the packages of the pages: make web"
    command = [NODE, str(Path(__file__).with_name("h2.mjs")), str(PLAYWRIGHT), CHROMIUM, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["energy"] == pytest.approx(H2_HARTREE, abs=1e-6)
    assert seen["points"] == seen["received"] >= 2, "the chart has every point that the stream brought"
    assert seen["errors"] == []
    assert seen["strangers"] == []
