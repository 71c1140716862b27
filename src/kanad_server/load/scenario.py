"""What a load run does: a frozen struct, from the command line or from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from kanad_server.load.errors import BadScenario
from kanad_server.load.ways import Way

Kind: TypeAlias = Literal["submit", "fanout", "churn", "mixed"]
Positive = Annotated[float, Meta(gt=0, le=86_400)]
Rate = Annotated[float, Meta(ge=0, le=100_000)]

MAX_ARRIVALS = 1_000_000
MIXED_STEPS = 5
"""Convergence events of an experiment that arrives in `mixed`, sent without pause."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A load. Some experiments are posted first and watched by many; others arrive while the run lasts."""

    kind: Kind
    duration_s: Positive = 10.0
    """How long experiments arrive and lines are cut; watched probes run for as long."""
    grace_s: Positive = 30.0
    """For what is under way to end after that; what has not ended then is lost."""
    rate: Rate = 0.0
    """Experiments that arrive in a second."""
    arrivals: Literal["poisson", "constant"] = "poisson"
    """How arrivals, connections and cuts are spread over time."""
    experiments: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Experiments posted first, to be watched."""
    viewers: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Viewers on those, in all; in `submit`, viewers on each experiment that arrives."""
    connect_rate: Annotated[float, Meta(gt=0, le=100_000)] = 200.0
    """Viewers that connect in a second."""
    cut_rate: Rate = 0.0
    """Lines that are cut in a second; each comes back with ``after``."""
    method: str = "probe"
    """``probe``, or a method of the server, run on H2 in STO-3G."""
    steps: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """Convergence events of a probe; left out, what fills the duration (`submit`: 5)."""
    step_ms: Annotated[float, Meta(ge=0, le=60_000)] = 25.0
    """Pause between two of them."""
    payload_bytes: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """With each of them a log event of so many bytes."""
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Requests in flight at most, in each client process."""
    way: Way = "json"
    """How viewers watch: a WebSocket each as ``json`` or ``msgpack``, a subscription on ``stream``, or ``sse``."""
    seed: Annotated[int, Meta(ge=0)] = 0
    """Of arrivals and cuts."""
    spec: dict[str, Any] | None = None
    """Post this in place of `method`."""

    def __post_init__(self) -> None:
        for name in ("rate", "cut_rate"):
            if getattr(self, name) * self.duration_s > MAX_ARRIVALS:
                raise ValueError(
                    f"{name} * duration_s must be at most {MAX_ARRIVALS}, got {getattr(self, name) * self.duration_s:g}"
                )
        if self.viewers and not self.experiments and self.kind != "submit":
            raise ValueError(f"{self.viewers} viewers need experiments to watch; experiments is 0")

    @property
    def watched_viewers(self) -> int:
        """Viewers on the experiments that are posted first."""
        return 0 if self.kind == "submit" else self.viewers

    @property
    def viewers_each(self) -> int:
        """Viewers on each experiment that arrives."""
        return self.viewers if self.kind == "submit" else 1

    def watched_spec(self, tag: str) -> dict[str, Any]:
        """What is posted first."""
        steps = self.steps if self.steps is not None else int(1000 * self.duration_s / max(self.step_ms, 1.0))
        return self._spec(tag, steps, self.step_ms)

    def arriving_spec(self, tag: str) -> dict[str, Any]:
        """What arrives."""
        if self.kind != "submit":
            return self._spec(tag, MIXED_STEPS, 0.0)
        return self._spec(tag, MIXED_STEPS if self.steps is None else self.steps, self.step_ms)

    def _spec(self, tag: str, steps: int, step_ms: float) -> dict[str, Any]:
        """A spec that is never answered from another one's result: the run is what is measured."""
        if self.spec is not None:
            return self.spec | {"fresh": True, "tags": [*self.spec.get("tags", []), "kanad-load", tag]}
        method: dict[str, Any] = {"name": self.method}
        if self.method == "probe":
            method |= {"steps": steps, "step_ms": step_ms, "payload_bytes": self.payload_bytes}
        return {
            "name": f"load {self.kind}",
            "molecule": {"library": "H2"},
            "method": method,
            "tags": ["kanad-load", tag],
            "fresh": True,
        }


DEFAULTS: dict[str, dict[str, Any]] = {
    "submit": {"rate": 20.0, "viewers": 1, "step_ms": 0.0},
    "fanout": {"experiments": 2, "viewers": 100},
    "churn": {"experiments": 2, "viewers": 100, "cut_rate": 50.0},
    "mixed": {"rate": 10.0, "experiments": 1, "viewers": 50, "cut_rate": 5.0},
}
"""What each kind differs in from the fields' own defaults."""


def read_scenario(name: str, **options: Any) -> Scenario:
    """The scenario called `name`, or in the TOML file `name`, with the `options` that are not None over it.

    Raises:
        BadScenario: there is no such scenario or file, or a field breaks a rule.
    """
    values: dict[str, Any] = {"kind": name}
    if name not in get_args(Kind):
        values = _from_file(name)
        if values.get("kind") not in get_args(Kind):
            raise BadScenario(f"{name}: kind must be one of {', '.join(get_args(Kind))}; got {values.get('kind')!r}")
    values = DEFAULTS[values["kind"]] | values | {key: value for key, value in options.items() if value is not None}
    try:
        return msgspec.convert(values, Scenario)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadScenario(f"{name}: {error}") from None


def _from_file(name: str) -> dict[str, Any]:
    kinds = ", ".join(get_args(Kind))
    if not name.endswith(".toml"):
        raise BadScenario(f"there is no scenario {name!r}; give one of {kinds}, or a .toml file")
    try:
        return tomllib.loads(Path(name).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadScenario(f"cannot read {name}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadScenario(f"{name} is not TOML: {error}") from None
