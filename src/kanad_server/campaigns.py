"""Campaigns: from a template and what varies to experiments, and from experiments to one table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec
from msgspec.structs import replace

from kanad_server import clock
from kanad_server.errors import Impossible
from kanad_server.store import Campaign
from kanad_server.wire import MAX_BATCH, TERMINAL, CampaignPost, CampaignView, Experiment, Grid, Member
from kanad_solvers.errors import FieldError

AXES = {"molecules": "molecule", "methods": "method", "bases": "basis"}
"""The lists of a grid, and the fields of a spec that they fill."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A spec as it was put together, and where its fields were posted."""

    spec: dict[str, Any]
    places: dict[str, str]
    whole: str

    def place(self, path: str) -> str:
        """A path of the spec as a path of the campaign's body."""
        for field, place in self.places.items():
            start = f"$.{field}"
            if path == start or path.startswith((f"{start}.", f"{start}[")):
                return place + path.removeprefix(start)
        return self.whole if path == "$" else "$.template" + path.removeprefix("$")


def plan(post: CampaignPost) -> list[Planned]:
    """The experiments of a campaign, in the order of its list, or of its grid with the bases varying fastest.

    Raises:
        Impossible: it has both a grid and a list, neither, or makes no experiment or too many.
    """
    if (post.grid is None) == (not post.experiments):
        raise _bad("$", "a campaign has either a grid or a list of experiments")
    size = len(post.experiments) if post.grid is None else _size(post.grid)
    if not 1 <= size <= MAX_BATCH:
        path = "$.experiments" if post.grid is None else "$.grid"
        raise _bad(path, f"a campaign has 1 to {MAX_BATCH} experiments; this one has {size}")
    template = {"name": post.name} | post.template
    if post.grid is None:
        return [_patched(template, patch, f"$.experiments[{i}]") for i, patch in enumerate(post.experiments)]
    return list(_combinations(template, post.grid))


def merged(target: object, patch: object) -> object:
    """RFC 7396: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    made = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def view(campaign: Campaign, counts: Mapping[str, int], running_percent: float) -> CampaignView:
    """The campaign as it stands; `running_percent` is the sum over its running members."""
    members = sum(counts.values())
    ended = sum(counts.get(status, 0) for status in TERMINAL)
    percent = (100 * ended + running_percent) / members if members else 100.0
    return CampaignView(
        id=campaign.id,
        name=campaign.name,
        tags=campaign.tags,
        owner=campaign.owner,
        size=campaign.size,
        created_at=campaign.created_at,
        status="ended" if ended == members else "active",
        percent=round(min(percent, 100.0), 1),
        counts=dict(counts),
    )


def updated(member: Member, experiment: Experiment) -> Member:
    """The row of the table once its experiment stands like this; the same row where it is no newer."""
    if experiment.last_seq <= member.last_seq:
        return member
    return replace(
        member,
        status=experiment.status,
        percent=experiment.progress.percent,
        energy_hartree=experiment.progress.energy_hartree
        if experiment.status == "running"
        else experiment.energy_hartree,
        wall_s=clock.seconds_between(experiment.started_at, experiment.finished_at),
        error_code=None if experiment.error is None else experiment.error.code,
        reused_from=experiment.reused_from,
        last_seq=experiment.last_seq,
    )


def view_of(campaign: Campaign, members: Collection[Member]) -> CampaignView:
    """The campaign as it stands, told by its table."""
    running_percent = sum(member.percent for member in members if member.status == "running")
    return view(campaign, Counter(member.status for member in members), running_percent)


def table_csv(members: Sequence[Member]) -> str:
    """The table as CSV (RFC 4180). Text that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Member.__struct_fields__)
    for member in members:
        writer.writerow(_cell(value) for value in msgspec.structs.astuple(member))
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _size(grid: Grid) -> int:
    if not any(getattr(grid, axis) for axis in AXES):
        return 0
    return max(len(grid.molecules), 1) * max(len(grid.methods), 1) * max(len(grid.bases), 1)


def _patched(template: dict[str, Any], patch: dict[str, Any], place: str) -> Planned:
    spec = merged(template, patch)
    assert isinstance(spec, dict)  # a patch that is an object makes an object
    return Planned(spec=spec, places={field: f"{place}.{field}" for field in patch}, whole=place)


def _combinations(template: dict[str, Any], grid: Grid) -> Iterator[Planned]:
    axes = {axis: list(enumerate(values)) for axis in AXES if (values := getattr(grid, axis))}
    for choice in product(*axes.values()):
        chosen = {AXES[axis]: value for axis, (_, value) in zip(axes, choice, strict=True)}
        places = {AXES[axis]: f"$.grid.{axis}[{i}]" for axis, (i, _) in zip(axes, choice, strict=True)}
        yield Planned(spec=template | chosen, places=places, whole=next(iter(places.values())))


def _bad(path: str, message: str) -> Impossible:
    return Impossible("invalid_spec", f"{path}: {message}", errors=[FieldError(path, message)])
