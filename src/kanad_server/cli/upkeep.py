"""``kanad doctor``, ``backup``, ``restore``: they work on the data directory, with or without a server on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kanad_server.cli import options
from kanad_server.cli.token import DEFAULT_DATA, DataDir

SIGNS = {"ok": "ok      ", "warning": "warning ", "broken": "BROKEN  "}


def doctor(
    data_dir: DataDir = DEFAULT_DATA,
    worker: Annotated[bool, typer.Option(help="Also compute something in a worker.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print each finding as a line of JSON.")] = False,
) -> None:
    """Look for what keeps a server from working well here, and say what to do. Changes nothing.

    The settings are those of KANAD_* variables, as for `kanad serve`. Exit codes: 0 it can be used (there may be
    warnings); 1 something is broken.
    """
    from kanad_server import doctor
    from kanad_server.settings import read_settings

    states = set()
    for finding in doctor.examine(read_settings(data_dir=str(data_dir)), with_worker=worker):
        states.add(finding.state)
        if as_json:
            print(msgspec.json.encode(finding).decode(), flush=True)
        else:
            print(f"{SIGNS[finding.state]}{finding.name}: {finding.message}", flush=True)
            if finding.advice:
                print(f"        -> {finding.advice}", flush=True)
    raise typer.Exit(1 if "broken" in states else 0)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; an existing file is not replaced.")],
    data_dir: DataDir = DEFAULT_DATA,
    as_json: options.AsJson = False,
) -> None:
    """Copy everything that the data directory keeps into one checked file; a server may go on working."""
    from kanad_server import backup

    kept = backup.backup(data_dir, file)
    _tell("backed up", kept, as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A file made by `kanad backup`.")],
    data_dir: DataDir = DEFAULT_DATA,
    as_json: options.AsJson = False,
) -> None:
    """Check a backup and bring it back as a data directory, which must hold no store; then serve it as usual."""
    from kanad_server import backup

    kept = backup.restore(file, data_dir)
    _tell("restored", kept, as_json)


def import_(
    file: Annotated[Path, typer.Argument(help="JSON lines, as `kanad export FILE.jsonl` writes them.")],
    owner: Annotated[str | None, typer.Option(help="Whose they shall be (default: as they were).")] = None,
    data_dir: DataDir = DEFAULT_DATA,
    as_json: options.AsJson = False,
) -> None:
    """Take experiments that were exported elsewhere into the data directory, with logs and results; a server may run.

    What had not ended when it was exported is left out, and what is there already is left as it is.
    """
    from kanad_server import archive

    counts = archive.take_in(data_dir, file, owner)
    if as_json:
        print(msgspec.json.encode(counts).decode())
        return
    left = f", {counts.present} were there already" * (counts.present > 0)
    left += f", {counts.unfinished} had not ended and were left out" * (counts.unfinished > 0)
    print(f"imported {counts.imported} experiments{left}")


def export_all(file: Path, data_dir: Path, *, as_json: bool) -> None:
    """Write every experiment of the data directory to `file` as JSON lines."""
    from kanad_server import archive

    count = archive.export(data_dir, file)
    print(msgspec.json.encode({"exported": count}).decode() if as_json else f"exported {count} experiments to {file}")


def _tell(done: str, kept: msgspec.Struct, as_json: bool) -> None:
    words = msgspec.structs.asdict(kept)
    if as_json:
        print(msgspec.json.encode(kept).decode())
        return
    print(
        f"{done} {words['experiments']} experiments, {words['results']} results and {words['files']} files"
        f" ({words['bytes'] / 2**20:.1f} MB), checked, in {words['seconds']:.1f} s"
    )
