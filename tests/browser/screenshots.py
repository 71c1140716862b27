"""The pictures of docs/web.md and the README, taken from a real server: `make screenshots`."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, OPTIONS
from tests.browser.tab import Tab
from tests.browser.world import SPECS
from tests.support.server import Server

IMAGES = Path(__file__).parents[2] / "docs/images"
QUALITY = 80
WATER_PAIR = """6
water dimer
O  -1.551007 -0.114520  0.000000
H  -1.934259  0.762503  0.000000
H  -0.599677  0.040712  0.000000
O   1.350625  0.111469  0.000000
H   1.680398 -0.373741 -0.758561
H   1.680398 -0.373741  0.758561
"""

SHOWN = {
    **{name: SPECS[name] for name in ("h2", "fci", "excited", "vibrations", "scan", "vqe", "sqd", "failed")},
    "lih": {"name": "LiH by HF", "molecule": {"library": "LiH"}, "method": {"name": "hf"}},
    "adapt": {"name": "LiH by ADAPT-VQE", "molecule": {"library": "LiH"}, "method": {"name": "adapt_vqe"}},
    "dimer": {"name": "Water dimer", "molecule": {"xyz": WATER_PAIR}, "method": {"name": "mp2"}, "basis": "6-31g"},
    "benzene": {"name": "Benzene", "molecule": {"smiles": "c1ccccc1"}, "method": {"name": "hf"}, "basis": "6-31g"},
    "formaldehyde": {
        "name": "Formaldehyde, UV",
        "molecule": {"library": "CH2O"},
        "method": {"name": "dft", "xc": "b3lyp"},
        "basis": "6-31g*",
        "task": {"name": "excited_states", "n_states": 8},
    },
}


def post(server: Server) -> dict[str, str]:
    """Runs to show, ended; by their names in SHOWN."""
    ids = {name: str(server.post(spec)["id"]) for name, spec in SHOWN.items()}
    for identity in ids.values():
        server.ended(identity, timeout_s=300)
    return ids


def orbital(tab: Tab) -> None:
    """Show the HOMO."""
    choose = tab.page.get_by_label("Orbital", exact=True)
    choose.select_option(label=next(text for text in choose.locator("option").all_inner_texts() if "  HOMO  " in text))
    tab.page.get_by_label("Isovalue").wait_for()


def nothing(_tab: Tab) -> None:
    """The page as it opens."""


Picture = tuple[str, int, int, Callable[[Tab], None]]
PICTURES: dict[str, Picture] = {
    "runs": ("/", 1280, 800, nothing),
    "new": ("/new?library=H2O", 1280, 860, nothing),
    "run": ("/runs/{benzene}", 1280, 980, orbital),
    "spectrum": ("/runs/{formaldehyde}?tab=spectrum", 1280, 1100, nothing),
    "compare": ("/compare?ids={lih},{vqe},{adapt}", 1280, 860, nothing),
}


def main() -> None:
    """Take them in both themes."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kanad-pictures-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        server = Server(Path(folder), "--slots", "2")
        server.ready()
        ids = post(server)
        for theme in ("light", "dark"):
            for name, (path, width, height, prepare) in PICTURES.items():
                tab = Tab(browser, server.url, color_scheme=theme, viewport={"width": width, "height": height})
                page = tab.go(path.format(**ids))
                page.wait_for_load_state("networkidle")
                prepare(tab)
                view = page.locator(".mol")
                if view.count():
                    tab.settled(view.first)
                page.evaluate("scrollTo(0, 0)")  # where looking at the structure has moved it
                tab.seen("drawn(30)")
                shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                shot.save(IMAGES / f"{name}-{theme}.webp", quality=QUALITY, method=6)
                tab.close()
        browser.close()
        server.stop()
    sizes = {path.name: path.stat().st_size for path in sorted(IMAGES.glob("*.webp"))}
    print(
        *(f"{name}: {size / 1024:.0f} kB" for name, size in sizes.items()),
        f"in all {sum(sizes.values()) / 1024:.0f} kB",
        sep="\n",
    )


if __name__ == "__main__":
    main()
