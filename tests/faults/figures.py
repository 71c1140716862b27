"""What each scenario measured: kept in a file, from which the table of docs/reliability.md is made."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.scale import SCALE, SEED

ROOT = Path(__file__).parents[2]
FILE = Path(os.environ.get("KANAD_FAULT_FIGURES") or ROOT / "build/fault-figures.json")
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ALWAYS_ZERO = ("lost", "duplicates", "illegal", "zombies", "bad_answers")


def record(scenario: str, title: str, **measured: Any) -> None:
    """Keep what a scenario measured, over what an earlier run with this Python has left."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    row = {
        "scenario": scenario,
        "title": title,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "scale": SCALE,
        "seed": SEED,
        "measured": {name: round(value, 3) if isinstance(value, float) else value for name, value in measured.items()},
    }
    kept[f"{scenario}, {title}, {sys.version_info.major}.{sys.version_info.minor}"] = row
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(kept, indent=1))
    print(f"\n{scenario} {title}: {row['measured']}")


def table(kept: dict[str, Any]) -> str:
    """The table, one row for each scenario; a figure that has to be 0 is shown only where it is not."""
    lines = ["| | scenario | measured | share | Python | date |", "|---|---|---|---|---|---|"]
    for row in sorted(kept.values(), key=_place_of):
        shown = "; ".join(
            f"{key.replace('_', ' ')} {value}"
            for key, value in row["measured"].items()
            if key not in ALWAYS_ZERO or value
        )
        cells = (row["scenario"], row["title"], shown, f"{row['scale']:g}", row["python"], row["date"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _place_of(row: dict[str, Any]) -> tuple[int, str, str]:
    return int(row["scenario"].lstrip("R")), row["title"], row["python"]


def write_page() -> None:
    """Put the table of the kept figures between the marks of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(json.loads(FILE.read_text()))}\n{END}{after}")


if __name__ == "__main__":
    write_page()
