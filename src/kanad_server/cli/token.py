"""``kanad token``: who may use the server. Works on the data directory, with or without a server on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kanad_server.cli.options import AsJson

app = typer.Typer(help="Make, list and revoke the tokens of a data directory.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="KANAD_DATA_DIR", help="The server's data directory.")]
DEFAULT_DATA = Path("kanad-data")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is; experiments posted with it belong to this name.")],
    role: Annotated[str, typer.Option(help="viewer, user or admin.")] = "user",
    expires_days: Annotated[int | None, typer.Option(help="Good for so many days (default: no end).")] = None,
    data_dir: DataDir = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this one time."""
    from kanad_server import tokens

    token, row = tokens.create(data_dir, name=name, role=role, expires_days=expires_days)
    if as_json:
        made = {"token": token, "id": row.id, "name": row.name, "role": row.role, "expires_at": row.expires_at}
        print(msgspec.json.encode(made).decode())
        return
    print(token)
    until = "without end" if row.expires_at is None else f"until {row.expires_at}"
    typer.echo(f"token {row.id} for {row.name}, {row.role}, {until}; it is shown only now", err=True)


@app.command("ls")
def list_(
    data_dir: DataDir = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List the tokens, never what they are."""
    from rich.table import Table

    from kanad_server import clock, tokens
    from kanad_server.cli import show

    rows = tokens.listed(data_dir)
    if as_json:
        shown = [{key: value for key, value in msgspec.structs.asdict(row).items() if key != "hash"} for row in rows]
        print(msgspec.json.encode(shown).decode())
        return
    table = Table("id", "name", "role", "created", "expires", "state", box=None, pad_edge=False)
    for row in rows:
        state = "good" if row.is_good(clock.now()) else "expired" if row.revoked_at is None else "revoked"
        table.add_row(row.id, row.name, row.role, row.created_at, row.expires_at or "never", state)
    show.out.print(table)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, as kanad token ls shows it.")],
    data_dir: DataDir = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let nobody in by a token any more; a running server notices within a second."""
    from kanad_server import tokens

    tokens.revoke(data_dir, token_id)
    print(msgspec.json.encode({"revoked": token_id}).decode() if as_json else f"revoked {token_id}")


@app.command()
def forget(data_dir: DataDir = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Drop revoked and expired tokens. A loopback server without any token left is open again."""
    from kanad_server import tokens

    count = tokens.forget(data_dir)
    print(msgspec.json.encode({"forgot": count}).decode() if as_json else f"forgot {count}")
