"""The commands."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kanad_server import __version__
from kanad_server.cli import token
from kanad_server.errors import KanadError

DEFAULT_URL = "http://127.0.0.1:8000"

app = typer.Typer(
    name="kanad",
    help="Quantum-chemistry experiments: post a molecule, watch it converge live, never lose a result.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

Url = Annotated[str, typer.Option("--url", envvar="KANAD_URL", help="The server's address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]


app.add_typer(token.app, name="token")


def main() -> None:
    """Run a command; what is wrong is said in one line, with exit code 1."""
    from kanad_server.client.errors import ClientError

    try:
        app()
    except (KanadError, ClientError) as error:
        print(f"kanad: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"kanad-server {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [8000].")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where everything is kept [kanad-data].")] = None,
    slots: Annotated[int | None, typer.Option(help="Experiments at a time [cores].")] = None,
    engine: Annotated[str | None, typer.Option(help="Where attempts run [local].")] = None,
    enable_probe: Annotated[bool | None, typer.Option("--enable-probe", help="Serve the test method.")] = None,
    certfile: Annotated[str | None, typer.Option(help="Serve TLS with this certificate (PEM).")] = None,
    keyfile: Annotated[str | None, typer.Option(help="The certificate's key.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error [info].")] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C. Each option is also a variable: KANAD_PORT for --port."""
    import uvloop

    from kanad_server import logs
    from kanad_server.serve import serve as serve_forever
    from kanad_server.settings import read_settings

    settings = read_settings(
        host=host,
        port=port,
        data_dir=data_dir,
        slots=slots,
        engine=engine,
        enable_probe=enable_probe,
        certfile=certfile,
        keyfile=keyfile,
        log_level=log_level,
    )
    logs.set_up(settings.log_level)
    uvloop.run(serve_forever(settings))


@app.command()
def run(
    molecule: Annotated[str, typer.Argument(help="An .xyz file, a library name, or a SMILES string.")],
    method: Annotated[str, typer.Option("--method", "-m", help="hf, fci, sqd or vqe.")] = "hf",
    basis: Annotated[str, typer.Option("--basis", "-b")] = "sto-3g",
    task: Annotated[str, typer.Option("--task", "-t", help="energy or excited_states.")] = "energy",
    charge: Annotated[int, typer.Option()] = 0,
    multiplicity: Annotated[int | None, typer.Option(help="2S+1.")] = None,
    n_states: Annotated[int | None, typer.Option(help="How many electronic states.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="Any option of the method, as name=value.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the experiment.")] = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    output: Annotated[Path | None, typer.Option(help="Also write the result as JSON here.")] = None,
) -> None:
    """Run one experiment and watch it. Without a server at --url, a private one is started for the run."""
    from kanad_server.cli.run import run_and_watch

    spec = build_spec(
        molecule,
        method=method,
        basis=basis,
        task=task,
        charge=charge,
        multiplicity=multiplicity,
        n_states=n_states,
        seed=seed,
        options=option or [],
        name=name,
    )
    completed = asyncio.run(run_and_watch(spec, url, as_json=as_json, output=output))
    raise typer.Exit(0 if completed else 1)


@app.command("ls")
def list_(
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List experiments, newest first."""
    from kanad_server.cli.run import print_list

    asyncio.run(print_list(url, status=status, limit=limit, as_json=as_json))


@app.command()
def watch(
    experiment_id: Annotated[str, typer.Argument(help="The experiment's id.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Watch an experiment that is on the server, from its first event."""
    from kanad_server.cli.run import watch_existing

    completed = asyncio.run(watch_existing(experiment_id, url, as_json=as_json))
    raise typer.Exit(0 if completed else 1)


@app.command()
def cancel(experiment_id: Annotated[str, typer.Argument(help="The experiment's id.")], url: Url = DEFAULT_URL) -> None:
    """End an experiment."""
    from kanad_server.cli.run import cancel_existing

    print(asyncio.run(cancel_existing(experiment_id, url)))


def build_spec(
    molecule: str,
    *,
    method: str,
    basis: str,
    task: str,
    charge: int,
    multiplicity: int | None,
    n_states: int | None,
    seed: int | None,
    options: list[str],
    name: str,
) -> dict[str, Any]:
    """The spec that the options of ``kanad run`` describe; the server checks it."""
    chosen: dict[str, Any] = {"name": method}
    wanted: dict[str, Any] = {"name": task}
    if n_states is not None:
        (wanted if task == "excited_states" else chosen)["n_states"] = n_states
    if seed is not None:
        chosen["seed"] = seed
    for text in options:
        key, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"--option takes name=value, got {text!r}")
        chosen[key] = _value(value)
    described = _molecule(molecule) | {"charge": charge}
    if multiplicity is not None:
        described["multiplicity"] = multiplicity
    return {"name": name, "molecule": described, "basis": basis, "method": chosen, "task": wanted}


def _molecule(text: str) -> dict[str, Any]:
    """A file is read as XYZ; a library name is taken as such; everything else is SMILES."""
    from kanad_solvers.library import all_molecules

    path = Path(text)
    if path.suffix.lower() == ".xyz":
        try:
            return {"xyz": path.read_text()}
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"cannot read {text}: {error}") from error
    if text.lower() in {name.lower() for entry in all_molecules() for name in (entry.name, *entry.aliases)}:
        return {"library": text}
    return {"smiles": text}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
