"""Every request, response and event as a frozen struct: the words of the protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

import msgspec
from msgspec import Meta

from kanad_solvers.errors import FieldError
from kanad_solvers.prepare import Estimate
from kanad_solvers.progress import Convergence, Geometry, Log, Point, Progress, Stage, State
from kanad_solvers.result import Coordinates, Result
from kanad_solvers.spec import Molecule, Name, Spec, Tag, name_of

MAX_BATCH = 1_000
"""Experiments of a batch or a campaign, at most."""
StatusName: TypeAlias = Literal["queued", "running", "completed", "failed", "cancelled"]
TERMINAL: frozenset[StatusName] = frozenset({"completed", "failed", "cancelled"})


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why an experiment failed."""

    code: str
    message: str
    details: dict[str, Any] = {}


# Events


class Status(Progress, frozen=True, kw_only=True, tag="status"):
    """The experiment's state changed; ``progress`` is in percent. Terminal ones carry an energy or an error."""

    status: StatusName
    progress: float
    energy_hartree: float | None = None
    error: Error | None = None


class Thinned(Progress, frozen=True, kw_only=True, tag="thinned"):
    """In place of the ``removed`` events from ``first_seq`` to ``seq``, which were taken out of an old log."""

    first_seq: int
    removed: int
    thinned_at: str


Event: TypeAlias = Status | Stage | Convergence | State | Geometry | Point | Log | Thinned
"""What a viewer receives; every one carries ``experiment_id``, ``attempt``, ``seq`` and ``time``."""

Reported: TypeAlias = Stage | Convergence | State | Geometry | Point | Log
"""What a worker may send: everything but a status, which only the server decides."""


# Experiments


class Percentage(msgspec.Struct, frozen=True, kw_only=True):
    """How far an experiment is; ``eta_s`` only where it can be known."""

    percent: float = 0.0
    stage: int | None = None
    iteration: int | None = None
    energy_hartree: float | None = None
    eta_s: float | None = None


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for, and how it stands."""

    id: str
    name: str
    tags: tuple[str, ...]
    priority: int
    status: StatusName
    spec: Spec
    spec_hash: str
    attempt: int
    progress: Percentage
    last_seq: int
    created_at: str
    energy_hartree: float | None = None
    error: Error | None = None
    queue_position: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    reused_from: str | None = None
    cancel_requested: bool = False
    losses: int = 0
    owner: str = "local"
    campaign: str | None = None
    estimated_s: float | None = None
    """The upper end of the estimate when it was accepted; null where an older server accepted it."""

    @property
    def is_final(self) -> bool:
        """Whether the state can no longer change by itself."""
        return self.status in TERMINAL


class ExperimentPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of an experiment while it waits."""

    priority: Annotated[int, Meta(ge=-100, le=100)]


class Notice(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ended"):
    """What a webhook is told when an experiment has ended; `id` is the same in every try."""

    id: str
    experiment_id: str
    name: str
    tags: tuple[str, ...]
    status: StatusName
    attempt: int
    method: str
    task: str
    basis: str
    energy_hartree: float | None
    error: Error | None
    finished_at: str | None
    campaign: str | None


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Experiments to be accepted together or not at all."""

    experiments: Annotated[tuple[Spec, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The experiments of a batch, in its order."""

    items: list[Experiment]


class Grid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every combination of these; a list that is left out leaves the field to the template."""

    molecules: tuple[dict[str, Any], ...] = ()
    methods: tuple[dict[str, Any], ...] = ()
    bases: tuple[str, ...] = ()


class CampaignPost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template and what varies: a grid, or patches (RFC 7396), each of which makes an experiment of the template."""

    name: Name = ""
    tags: Annotated[tuple[Tag, ...], Meta(max_length=20)] = ()
    template: dict[str, Any] = {}
    grid: Grid | None = None
    experiments: tuple[dict[str, Any], ...] = ()


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and how it stands: `counts` by status; `percent` over all members, the ended ones being done."""

    id: str
    name: str
    tags: tuple[str, ...]
    owner: str
    size: int
    created_at: str
    status: Literal["active", "ended"]
    percent: float
    counts: dict[str, int]


class CampaignPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of campaigns, the newest first; pass ``next_cursor`` back as ``cursor`` for the next one."""

    items: list[CampaignView]
    next_cursor: str | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of a campaign as a row of its table; `wall_s` from its start to its end."""

    index: int
    experiment_id: str
    name: str
    molecule: str
    method: str
    basis: str
    task: str
    status: StatusName
    percent: float
    energy_hartree: float | None = None
    wall_s: float | None = None
    error_code: str | None = None
    reused_from: str | None = None
    last_seq: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The table of a campaign, in the order in which it was posted."""

    items: list[Member]


class CampaignProgress(msgspec.Struct, frozen=True, kw_only=True, tag="campaign"):
    """On a campaign's stream: how it stands."""

    time: str
    campaign: CampaignView


class MemberProgress(msgspec.Struct, frozen=True, kw_only=True, tag="member"):
    """On a campaign's stream: a member that has changed."""

    time: str
    campaign_id: str
    member: Member


# The stream of many experiments


class Op(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """What a client says on ``/stream``."""


class Subscribe(Op, frozen=True, kw_only=True, tag="subscribe"):
    """Send the events of experiment ``id`` behind ``after``, to its end."""

    id: str
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Unsubscribe(Op, frozen=True, kw_only=True, tag="unsubscribe"):
    """Send no more events of experiment ``id``."""

    id: str


class Watch(Op, frozen=True, kw_only=True, tag="watch"):
    """Send a summary of each experiment that changes: of all, or of those that are, or have just ceased to be, in a
    state. Takes the place of the watch before."""

    status: Literal["*", "queued", "running", "completed", "failed", "cancelled"] = "*"


class Ping(Op, frozen=True, kw_only=True, tag="ping"):
    """Answer with a pong."""


ClientOp: TypeAlias = Subscribe | Unsubscribe | Watch | Ping
"""Everything a client may say."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What the server says on ``/stream`` beside events; has no ``seq``."""


class Subscribed(Reply, frozen=True, kw_only=True, tag="subscribed"):
    """The events behind ``after`` follow."""

    experiment_id: str
    after: int
    last_seq: int


class Unsubscribed(Reply, frozen=True, kw_only=True, tag="unsubscribed"):
    """No more events of this experiment follow."""

    experiment_id: str


class Watching(Reply, frozen=True, kw_only=True, tag="watching"):
    """Summaries of what changes from now on follow."""

    status: str


class Pong(Reply, frozen=True, kw_only=True, tag="pong"):
    """The server lives."""


class End(Reply, frozen=True, kw_only=True, tag="end"):
    """The experiment has ended and everything was sent; the subscription is over."""

    experiment_id: str
    last_seq: int


class OpRefused(Reply, frozen=True, kw_only=True, tag="error"):
    """An op was not done; the stream goes on."""

    code: str
    message: str
    op: str | None = None
    experiment_id: str | None = None


class ExperimentSummary(Reply, frozen=True, kw_only=True, tag="summary"):
    """How an experiment stands; the newest of several changes that came close together."""

    experiment_id: str
    name: str
    tags: tuple[str, ...]
    method: str
    task: str
    basis: str
    status: StatusName
    attempt: int
    progress: Percentage
    energy_hartree: float | None
    error: Error | None
    last_seq: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    cancel_requested: bool
    owner: str

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The summary of an experiment."""
        spec = experiment.spec
        return cls(
            experiment_id=experiment.id,
            name=experiment.name,
            tags=experiment.tags,
            method=name_of(spec.method),
            task=name_of(spec.task),
            basis=spec.basis,
            status=experiment.status,
            attempt=experiment.attempt,
            progress=experiment.progress,
            energy_hartree=experiment.energy_hartree,
            error=experiment.error,
            last_seq=experiment.last_seq,
            created_at=experiment.created_at,
            started_at=experiment.started_at,
            finished_at=experiment.finished_at,
            cancel_requested=experiment.cancel_requested,
            owner=experiment.owner,
        )


ServerReply: TypeAlias = Subscribed | Unsubscribed | Watching | Pong | End | OpRefused | ExperimentSummary
"""Everything the server says on ``/stream`` beside events."""


# Pages


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of experiments; pass ``next_cursor`` back as ``cursor`` for the next one."""

    items: list[Experiment]
    next_cursor: str | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the log; ask again with ``after=next_after`` while it is not null."""

    items: list[Event]
    next_after: int | None = None


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be downloaded."""

    name: str
    media_type: str


class ArtifactPage(msgspec.Struct, frozen=True, kw_only=True):
    """The files of an experiment."""

    items: list[Artifact]


# Molecules and methods


class ParsedMolecule(msgspec.Struct, frozen=True, kw_only=True):
    """A molecule as the solvers will see it; a Hamiltonian without nuclei has `orbitals` and an empty geometry."""

    formula: str
    charge: int
    multiplicity: int
    electrons: int
    geometry: Coordinates
    warnings: tuple[str, ...] = ()
    orbitals: int | None = None


class LibraryMolecule(msgspec.Struct, frozen=True, kw_only=True):
    """One molecule of the library, with the source of its experimental geometry."""

    name: str
    title: str
    formula: str
    charge: int
    multiplicity: int
    source: str
    geometry: Coordinates


class MoleculePage(msgspec.Struct, frozen=True, kw_only=True):
    """The library."""

    items: list[LibraryMolecule]


class MethodDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One method: the tasks it can do and its options as JSON Schema, with defaults."""

    name: str
    title: str
    tasks: tuple[str, ...]
    options: dict[str, Any]


class TaskDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One task and its options as JSON Schema."""

    name: str
    title: str
    options: dict[str, Any]


class MethodPage(msgspec.Struct, frozen=True, kw_only=True):
    """Every method and task, the combinations that work, and the basis sets."""

    methods: list[MethodDescription]
    tasks: list[TaskDescription]
    basis_sets: list[str]


# System


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """One slot as it is now; ``cpu_s`` and ``memory_mb`` are those of its worker process."""

    name: str
    state: Literal["starting", "idle", "running", "stopping"]
    experiment_id: str | None = None
    pid: int | None = None
    cpu_s: float | None = None
    memory_mb: float | None = None


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of slots; ``down`` while it cannot be reached; ``notes`` say what it lacks, and what to do."""

    name: str
    state: Literal["up", "down"]
    slots: int
    notes: tuple[str, ...] = ()


class System(msgspec.Struct, frozen=True, kw_only=True):
    """Versions, engines, slots and queue length."""

    versions: dict[str, str]
    slots: list[SlotView]
    queue_length: int
    viewers: int
    started_at: str
    engines: list[EngineView] = []


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A word that opens one stream, once."""

    ticket: str
    expires_in_s: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server lives, or can take work; ``reasons`` when it cannot."""

    status: Literal["ok", "unavailable"]
    reasons: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem document with a stable ``code``; ``errors`` name fields of the input."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    errors: tuple[FieldError, ...] = ()
    details: dict[str, Any] = {}


__all__ = [
    "MAX_BATCH",
    "TERMINAL",
    "Accepted",
    "Artifact",
    "ArtifactPage",
    "Batch",
    "CampaignPage",
    "CampaignPost",
    "CampaignProgress",
    "CampaignView",
    "ClientOp",
    "Convergence",
    "End",
    "EngineView",
    "Error",
    "Estimate",
    "Event",
    "EventPage",
    "Experiment",
    "ExperimentPage",
    "ExperimentSummary",
    "FieldError",
    "Geometry",
    "Grid",
    "Health",
    "LibraryMolecule",
    "Log",
    "Member",
    "MemberProgress",
    "MethodDescription",
    "MethodPage",
    "Molecule",
    "MoleculePage",
    "Op",
    "OpRefused",
    "ParsedMolecule",
    "Percentage",
    "Ping",
    "Point",
    "Pong",
    "Problem",
    "Progress",
    "Reply",
    "Reported",
    "Result",
    "ServerReply",
    "SlotView",
    "Spec",
    "Stage",
    "State",
    "Status",
    "StatusName",
    "Subscribe",
    "Subscribed",
    "Summary",
    "System",
    "TaskDescription",
    "Thinned",
    "Ticket",
    "Unsubscribe",
    "Unsubscribed",
    "Watch",
    "Watching",
]
