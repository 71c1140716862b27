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
LIMITS: dict[str, dict[str, float]] = {
    "": {"grown_mb": 50, "stall_ms": 250},
    "R1": {"ready_s_max": 3},
    "R2": {"new_worker_s_max": 3},
    "R4": {"beyond_limit_s_max": 2},
    "R5": {"ended_s_p99": 1},
    "R6": {"exit_s": 7},
    "R7": {"exit_s_max": 3},
    "R8": {"gone_s_max": 2, "ready_s_max": 3},
    "R9": {"refused_s_max": 2},
    "R10": {"healed_s": 5, "log_kb": 1_000},
    "R11": {"post_s_p99": 4, "shrunk_s": 10},
    "R16": {"viewers_mb": 30, "delay_s_p99": 0.25, "sent_away_s": 10},
    "R17": {"neighbour_pause_s_max": 0.5},
    "R18": {"answer_s_p99": 1, "live_s_p99": 0.1, "quiet_waits_jobs_max": 2},
    "R20": {"healthy_s_p99": 0.5, "log_kb": 1_000, "freed_s": 5},
    "R21": {"kept_mb": 20},
    "R22": {"share_of_grant_max": 1.1, "estimate_over_peak_max": 3},
    "R26": {"rss_mb_per_h": 1},
    "R27": {"restore_s": 10},
}
"""The most that each may be on a machine that does nothing else; the first row is for all."""
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
        limits = LIMITS[""] | LIMITS.get(row["scenario"], {})
        shown = "; ".join(
            _shown(key, value, limits.get(key))
            for key, value in row["measured"].items()
            if key not in ALWAYS_ZERO or value
        )
        cells = (row["scenario"], row["title"], shown, f"{row['scale']:g}", row["python"], row["date"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(key: str, value: Any, limit: float | None) -> str:
    """A figure with its limit, printed bold where it is beyond that."""
    text = f"{key.replace('_', ' ')} {value}"
    if limit is None:
        return text
    return f"{text} (of {limit:g})" if value <= limit else f"**{text}** (of {limit:g})"


def _place_of(row: dict[str, Any]) -> tuple[int, str, str]:
    return int(row["scenario"].lstrip("R")), row["title"], row["python"]


def write_page() -> None:
    """Put the table of the kept figures between the marks of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(json.loads(FILE.read_text()))}\n{END}{after}")


if __name__ == "__main__":
    write_page()
