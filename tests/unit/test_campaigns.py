"""From a template and what varies to experiments, and from experiments to a table."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from kanad_server.campaigns import merged, plan, table_csv, view
from kanad_server.errors import Impossible
from kanad_server.store import Campaign
from kanad_server.wire import CampaignPost, Grid, Member

HF, DFT = {"name": "hf"}, {"name": "dft"}
H2, LIH = {"library": "H2"}, {"library": "LiH"}


def test_a_grid_makes_every_combination_in_order() -> None:
    grid = Grid(molecules=(H2, LIH), methods=(HF, DFT), bases=("sto-3g", "6-31g"))
    planned = plan(CampaignPost(name="c", template={"tags": ["t"], "basis": "cc-pvdz"}, grid=grid))
    assert len(planned) == 8
    assert planned[1].spec == {"name": "c", "tags": ["t"], "molecule": H2, "method": HF, "basis": "6-31g"}
    assert planned[6].spec["molecule"] == LIH
    assert planned[6].place("$.method.name") == "$.grid.methods[1].name"
    assert planned[6].place("$.molecule") == "$.grid.molecules[1]"
    assert planned[6].place("$.tags[0]") == "$.template.tags[0]"


def test_patches_are_merged_into_the_template() -> None:
    post = CampaignPost(
        template={"molecule": H2, "method": {"name": "vqe", "layers": 2}},
        experiments=({"method": {"layers": 3}}, {"molecule": LIH, "name": "two"}),
    )
    first, second = plan(post)
    assert first.spec["method"] == {"name": "vqe", "layers": 3}
    assert first.place("$.method.layers") == "$.experiments[0].method.layers"
    assert first.place("$.molecule.library") == "$.template.molecule.library"
    assert second.spec["name"] == "two"
    assert second.place("$") == "$.experiments[1]"


@pytest.mark.parametrize(
    ("target", "patch", "made"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": "b"}, ["c"], ["c"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)  # examples of RFC 7396, appendix A
def test_patches_follow_the_standard(target: Any, patch: Any, made: Any) -> None:
    assert merged(target, patch) == made


@pytest.mark.parametrize(
    ("post", "path"),
    [
        (CampaignPost(), "$"),
        (CampaignPost(grid=Grid(bases=("sto-3g",)), experiments=({},)), "$"),
        (CampaignPost(grid=Grid()), "$.grid"),
        (CampaignPost(grid=Grid(molecules=(H2,) * 101, bases=("sto-3g",) * 10)), "$.grid"),
        (CampaignPost(experiments=({},) * 1001), "$.experiments"),
    ],
)
def test_a_campaign_of_nothing_or_too_much_is_refused(post: CampaignPost, path: str) -> None:
    with pytest.raises(Impossible) as caught:
        plan(post)
    assert [error.path for error in caught.value.errors] == [path]


def test_progress_counts_ended_members_whole_and_running_ones_in_part() -> None:
    campaign = Campaign(id="c", owner="me", name="", tags=(), size=4, created_at="")
    shown = view(campaign, {"completed": 1, "failed": 1, "running": 1, "queued": 1}, 50.0)
    assert (shown.status, shown.percent) == ("active", 62.5)
    assert view(campaign, {"completed": 3, "cancelled": 1}, 0.0).status == "ended"


def test_a_table_for_spreadsheets_holds_no_formula() -> None:
    member = Member(
        index=0, experiment_id="i", name="=HYPERLINK(1)", molecule="[H][H]", method="hf", basis="6-31g*", task="energy",
        status="completed", percent=100.0, energy_hartree=-1.5,
    )  # fmt: skip
    header, row = csv.reader(io.StringIO(table_csv([member])))
    assert dict(zip(header, row, strict=True))["name"] == "'=HYPERLINK(1)"
    assert dict(zip(header, row, strict=True))["energy_hartree"] == "-1.5"
