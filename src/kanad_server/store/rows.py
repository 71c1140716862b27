"""Between an `Experiment` and its row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import msgspec

from kanad_server import clock
from kanad_server.store.base import Campaign, Notification
from kanad_server.wire import Error, Experiment, Member, Percentage
from kanad_solvers.spec import Molecule, Spec

_spec = msgspec.json.Decoder(Spec)
_progress = msgspec.json.Decoder(Percentage)
_molecule = msgspec.json.Decoder(Molecule)
_error = msgspec.json.Decoder(Error)
_tags = msgspec.json.Decoder(tuple[str, ...])
_encode = msgspec.json.Encoder().encode


def to_row(experiment: Experiment) -> dict[str, Any]:
    """The columns of `experiment`, without its number and last_seq, which the store keeps itself."""
    return {
        "id": experiment.id,
        "name": experiment.name,
        "tags": _encode(experiment.tags).decode(),
        "method": method_name(experiment.spec),
        "spec": _encode(experiment.spec).decode(),
        "spec_hash": experiment.spec_hash,
        "created_at": experiment.created_at,
        "owner": experiment.owner,
        "campaign": experiment.campaign,
        "estimated_s": experiment.estimated_s,
        **to_changed_columns(experiment),
    }


def to_changed_columns(experiment: Experiment) -> dict[str, Any]:
    """The columns that the lifecycle can change, with the id."""
    return {
        "id": experiment.id,
        "priority": experiment.priority,
        "status": experiment.status,
        "attempt": experiment.attempt,
        "losses": experiment.losses,
        "cancel_requested": int(experiment.cancel_requested),
        "progress": _encode(experiment.progress).decode(),
        "energy_hartree": experiment.energy_hartree,
        "error": None if experiment.error is None else _encode(experiment.error).decode(),
        "started_at": experiment.started_at,
        "finished_at": experiment.finished_at,
        "reused_from": experiment.reused_from,
    }


def from_row(row: sqlite3.Row) -> Experiment:
    """The experiment of a row that also has `last_seq`."""
    return Experiment(
        id=row["id"],
        name=row["name"],
        tags=_tags.decode(row["tags"]),
        priority=row["priority"],
        status=row["status"],
        spec=_spec.decode(row["spec"]),
        spec_hash=row["spec_hash"],
        attempt=row["attempt"],
        progress=_progress.decode(row["progress"]),
        last_seq=row["last_seq"],
        created_at=row["created_at"],
        energy_hartree=row["energy_hartree"],
        error=None if row["error"] is None else _error.decode(row["error"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        reused_from=row["reused_from"],
        cancel_requested=bool(row["cancel_requested"]),
        losses=row["losses"],
        owner=row["owner"],
        campaign=row["campaign"],
        estimated_s=row["estimated_s"],
    )


def campaign_row(campaign: Campaign) -> dict[str, Any]:
    """The columns of a campaign."""
    return msgspec.structs.asdict(campaign) | {"tags": _encode(campaign.tags).decode()}


def campaign_of(row: sqlite3.Row) -> Campaign:
    """The campaign of a row."""
    return Campaign(
        id=row["id"],
        owner=row["owner"],
        name=row["name"],
        tags=_tags.decode(row["tags"]),
        size=row["size"],
        created_at=row["created_at"],
    )


def member_of(row: sqlite3.Row, index: int) -> Member:
    """The row of a campaign's table."""
    return Member(
        index=index,
        experiment_id=row["id"],
        name=row["name"],
        molecule=_molecule_name(_molecule.decode(row["molecule"])),
        method=row["method"],
        basis=row["basis"],
        task=row["task"],
        status=row["status"],
        percent=_progress.decode(row["progress"]).percent,
        energy_hartree=row["energy_hartree"],
        wall_s=clock.seconds_between(row["started_at"], row["finished_at"]),
        error_code=row["error_code"],
        reused_from=row["reused_from"],
        last_seq=row["last_seq"],
    )


def _molecule_name(molecule: Molecule) -> str:
    """What a person calls it: the library's name, the SMILES, or the sum formula."""
    if molecule.library or molecule.smiles:
        return molecule.library or molecule.smiles or ""
    symbols = [atom.symbol for atom in molecule.atoms or ()]
    if molecule.xyz:
        symbols = [words[0] for line in molecule.xyz.splitlines() if len(words := line.split()) == 4]
    counts = Counter(symbol.capitalize() for symbol in symbols)
    first = [symbol for symbol in ("C", "H") if "C" in counts and symbol in counts]
    ordered = first + sorted(set(counts) - set(first))  # Hill's order
    return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in ordered)


def notification_of(row: sqlite3.Row) -> Notification:
    """The notification of a row."""
    return Notification(**{name: row[name] for name in Notification.__struct_fields__})


def method_name(spec: Spec) -> str:
    """The tag of the spec's method, e.g. ``hf``."""
    return str(spec.method.__struct_config__.tag)
