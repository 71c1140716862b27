"""``kanad run``: its words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kanad_server.cli import options

if TYPE_CHECKING:
    from kanad_server.cli import running, words
else:
    running, words = options.Later("kanad_server.cli.running"), options.Later("kanad_server.cli.words")


@options.grouped
def run(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A file (.xyz .pdb .sdf .mol .fcidump; QCSchema or a spec, .json .toml), a library name, or SMILES.",
        ),
    ],
    described: options.Described,
    server: options.Server,
    priority: Annotated[int | None, typer.Option(help="-100 to 100; higher ones go first (default: 0).")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the experiment (default: the file's name).")] = None,
    notify: Annotated[
        list[str] | None, typer.Option(help="An address to tell when it has ended; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run anew where an identical one exists.")] = False,
    as_json: options.AsJson = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write the result as JSON here (a folder, for several sources).")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit, print the ids, and leave.")] = False,
) -> None:
    """Run experiments and watch them. Without a server at --url, a private one is started for the run.

    Exit codes: 0 all completed; 1 one failed, was cancelled or refused, or no server; 2 not understood; 130 Ctrl-C.
    """
    specs = [
        words.spec_of(
            source, described, tags=tag, priority=priority, fresh=fresh or None, name=name,
            notify=[{"url": url} for url in notify] if notify else None,
        )
        for source in sources
    ]  # fmt: skip
    titles = [spec.get("name") or Path(source).name[:40] for source, spec in zip(sources, specs, strict=True)]
    ending = running.run_all(specs, titles, server, as_json=as_json, output=output, no_wait=no_wait)
    raise typer.Exit(asyncio.run(ending))
