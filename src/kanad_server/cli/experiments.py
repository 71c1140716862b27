"""The commands about experiments that are on a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from kanad_server.cli import options, upkeep
from kanad_server.cli.token import DEFAULT_DATA, DataDir

if TYPE_CHECKING:
    from kanad_server.cli import running, show, words
    from kanad_server.client import Client
    from kanad_server.wire import Experiment, MethodDescription, TaskDescription
else:
    running, show, words = (options.Later(f"kanad_server.cli.{name}") for name in ("running", "show", "words"))

T = TypeVar("T")
MAX_PAGE = 200


def _ask(server: options.Server, question: Callable[[Client], Awaitable[T]]) -> T:
    from kanad_server.client import Client

    async def asked() -> T:
        async with Client(server.url, server.token) as client:
            return await question(client)

    return asyncio.run(asked())


@options.grouped
def list_(
    server: options.Server,
    status: Annotated[str | None, typer.Option(help="queued, running, completed, failed or cancelled.")] = None,
    method: Annotated[str | None, typer.Option(help="Only those by this method.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    q: Annotated[str | None, typer.Option("--search", "-q", help="Only those with this in the name.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="created_at, finished_at, energy_hartree or name; -name: down.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List experiments, newest first."""
    asked = {"status": status, "method": method, "tag": tag, "q": q, "sort": sort}
    filters = {name: value for name, value in asked.items() if value is not None}

    async def listed(client: Client) -> list[Experiment]:
        items: list[Experiment] = []
        async for experiment in client.experiments(limit=min(limit, MAX_PAGE), **filters):
            items.append(experiment)
            if len(items) >= limit:
                break
        return items

    items = _ask(server, listed)
    show.as_json(items) if as_json else show.experiments(items)


@options.grouped
def show_(
    experiment_id: options.Id,
    server: options.Server,
    as_json: options.AsJson = False,
) -> None:
    """Show an experiment, and its result if there is one."""

    async def look(client: Client) -> None:
        experiment = await client.experiment(experiment_id)
        result = await client.result(experiment_id) if experiment.status == "completed" else None
        if as_json:
            show.as_json({"experiment": experiment, "result": result})
            return
        show.experiment(experiment)
        if result is not None:
            show.result(experiment, result)

    _ask(server, look)


@options.grouped
def watch(
    experiment_id: options.Id,
    server: options.Server,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events, each as a line of JSON.")] = False,
) -> None:
    """Watch an experiment from its first event on, with a live chart in a terminal.

    Exit codes: 0 it completed; 1 it did not; 130 Ctrl-C, which leaves it running.
    """

    async def watched(client: Client) -> int:
        run = await client.run(experiment_id)
        if as_json:
            async for event in run.events():
                show.as_json(event)
            return 0 if (await run.refresh()).status == "completed" else 1
        await running.follow([run], [run.experiment.name or run.id], quiet=False)
        await run.refresh()
        return running.report(
            [run], [await client.result(run.id) if run.status == "completed" else None], [""], as_json=False
        )

    raise typer.Exit(_ask(server, watched))


@options.grouped
def cancel(
    experiment_id: options.Id,
    server: options.Server,
    as_json: options.AsJson = False,
) -> None:
    """End an experiment."""
    experiment = _ask(server, lambda client: client.cancel(experiment_id))
    show.as_json(experiment) if as_json else print(experiment.status)


@options.grouped
def priority(
    experiment_id: options.Id,
    value: Annotated[int, typer.Argument(metavar="N", help="-100 to 100; higher ones go first.")],
    server: options.Server,
    as_json: options.AsJson = False,
) -> None:
    """Move an experiment that waits forward or back."""
    experiment = _ask(server, lambda client: client.reprioritise(experiment_id, value))
    show.as_json(experiment) if as_json else print(f"priority {value}, place {experiment.queue_position} in line")


@options.grouped
def retry(
    experiment_id: options.Id,
    server: options.Server,
    as_json: options.AsJson = False,
) -> None:
    """Run a failed or cancelled experiment again."""
    experiment = _ask(server, lambda client: client.retry(experiment_id)).experiment
    show.as_json(experiment) if as_json else print(f"{experiment.status}, attempt {experiment.attempt}")


@options.grouped
def export(
    experiment_id: Annotated[
        str, typer.Argument(metavar="ID", help="The experiment's id; or FILE.jsonl, for all experiments.")
    ],
    server: options.Server,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Files; left out: list them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every file that is listed.")] = False,
    to: Annotated[Path, typer.Option(help="The folder for them.")] = Path(),
    data_dir: DataDir = DEFAULT_DATA,
    as_json: options.AsJson = False,
) -> None:
    """Fetch files of a completed experiment: structures, orbitals, FCIDUMP, QCSchema and others.

    With FILE.jsonl in place of an id: write every experiment of the data directory there, a line of JSON for each, with
    its log and its result; `kanad import` takes them in again.
    """
    if experiment_id.endswith(".jsonl"):
        upkeep.export_all(Path(experiment_id), data_dir, as_json=as_json)
        return

    async def fetched(client: Client) -> None:
        listed = await client.artifacts(experiment_id) if everything or not names else []
        wanted = [artifact.name for artifact in listed] if everything else list(names or [])
        if not wanted:
            show.as_json(listed) if as_json else print("\n".join(artifact.name for artifact in listed))
            return
        to.mkdir(parents=True, exist_ok=True)
        written = [str(await client.download(experiment_id, name, to)) for name in wanted]
        show.as_json(written) if as_json else print("\n".join(written))

    _ask(server, fetched)


@options.grouped
def estimate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As for `kanad run`.")],
    described: options.Described,
    server: options.Server,
    as_json: options.AsJson = False,
) -> None:
    """Say what an experiment would cost, without running it. Exit code 1 where it is not feasible."""
    spec = words.spec_of(source, described)
    found = _ask(server, lambda client: client.estimate(spec))
    show.as_json(found) if as_json else show.estimate(found)
    raise typer.Exit(0 if found.feasible else 1)


@options.grouped
def methods(
    server: options.Server,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A method or a task, to see its options.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List methods and their tasks, or the options of one."""
    page = _ask(server, lambda client: client.methods())
    if name is None:
        show.as_json(page) if as_json else show.methods(page)
        return
    entries: list[MethodDescription | TaskDescription] = [*page.tasks, *page.methods]
    found = {entry.name: entry for entry in entries}.get(name.lower())
    if found is None:
        raise typer.BadParameter(f"methods are {', '.join(entry.name for entry in page.methods)}; got {name!r}")
    show.as_json(found) if as_json else show.options(f"{found.name}: {found.title}", found.options)
