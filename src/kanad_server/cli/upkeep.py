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


def _tell(done: str, kept: msgspec.Struct, as_json: bool) -> None:
    words = msgspec.structs.asdict(kept)
    if as_json:
        print(msgspec.json.encode(kept).decode())
        return
    print(
        f"{done} {words['experiments']} experiments, {words['results']} results and {words['files']} files"
        f" ({words['bytes'] / 2**20:.1f} MB), checked, in {words['seconds']:.1f} s"
    )
