"""Places where attempts run."""

from kanad_server.engines.base import (
    Cancelled,
    Completed,
    Engine,
    Failed,
    Interrupted,
    Job,
    Lost,
    Need,
    Slot,
    Verdict,
)

__all__ = ["Cancelled", "Completed", "Engine", "Failed", "Interrupted", "Job", "Lost", "Need", "Slot", "Verdict"]
