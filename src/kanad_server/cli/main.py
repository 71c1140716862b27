"""The commands."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from kanad_server import __version__
from kanad_server.cli import experiments, run, token, upkeep
from kanad_server.errors import KanadError

if TYPE_CHECKING:
    from kanad_server.client import ClientError

app = typer.Typer(
    name="kanad",
    help="Quantum-chemistry experiments: post a molecule, watch it converge live, never lose a result.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

app.add_typer(token.app, name="token")


def main() -> None:
    """Run a command; what is wrong is said in one line, with exit code 1."""
    try:
        app()
    except _ours() as error:
        advice = "; kanad serve starts a server, --url names another" * (error.code == "unreachable")
        print(_folded(f"kanad: {error}{advice}"), file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _folded(words: str) -> str:
    """Broken between words where a terminal would break it within one."""
    if not sys.stderr.isatty():
        return words
    width = shutil.get_terminal_size().columns
    return textwrap.fill(words, width, break_long_words=False, break_on_hyphens=False)


def _ours() -> tuple[type[KanadError | ClientError], ...]:
    """The errors that are said in one line; those of the client where a command has loaded it."""
    client = sys.modules.get("kanad_server.client.errors")
    return (KanadError,) if client is None else (KanadError, client.ClientError)


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
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one (default: 8000).")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where everything is kept (default: kanad-data).")] = None,
    slots: Annotated[int | None, typer.Option(help="Experiments at a time (default: cores).")] = None,
    engine: Annotated[str | None, typer.Option(help="Where attempts run (default: local).")] = None,
    enable_probe: Annotated[bool | None, typer.Option("--enable-probe", help="Serve the test method.")] = None,
    certfile: Annotated[str | None, typer.Option(help="Serve TLS with this certificate (PEM).")] = None,
    keyfile: Annotated[str | None, typer.Option(help="The certificate's key.")] = None,
    keep_days: Annotated[
        int | None, typer.Option(help="Thin logs this long after the end; 0 never (default: 0).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error (default: info).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say as a line of JSON where it serves.")] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C. Each option is also a variable: KANAD_PORT for --port."""
    from kanad_server import start
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
        keep_days=keep_days,
        log_level=log_level,
    )
    start.run(settings, as_json=as_json)


app.command()(run.run)
app.command("ls")(experiments.list_)
app.command("show")(experiments.show_)
for command in (experiments.watch, experiments.cancel, experiments.retry):
    app.command()(command)
app.command(context_settings={"ignore_unknown_options": True})(experiments.priority)  # -5 is no option
for command in (
    experiments.export, experiments.estimate, experiments.methods, upkeep.doctor, upkeep.backup, upkeep.restore,
):  # fmt: skip
    app.command()(command)
app.command("import")(upkeep.import_)
