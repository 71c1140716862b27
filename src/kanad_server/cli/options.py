"""Options that several commands have, and the client that they make."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option("--url", envvar="KANAD_URL", help="The server's address.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="KANAD_TOKEN", show_envvar=True, help="Who asks, where it matters.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]
Id = Annotated[str, typer.Argument(help="The experiment's id, as `kanad ls` shows it.")]
Method = Annotated[str | None, typer.Option("--method", "-m", help="As `kanad methods` lists them [hf].")]
Basis = Annotated[str | None, typer.Option("--basis", "-b", help="Basis set [sto-3g].")]
Task = Annotated[
    str | None, typer.Option("--task", "-t", help="energy, excited_states, optimize, frequencies or scan [energy].")
]
Charge = Annotated[int | None, typer.Option(help="Charge of the molecule [0].")]
Multiplicity = Annotated[int | None, typer.Option(help="2S+1 [1, or the library's].")]
MethodOption = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="An option of the method: name=value; may be repeated.")
]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task-option", "-O", help="An option of the task: name=value; may be repeated.")
]
ActiveSpace = Annotated[
    str | None, typer.Option(help="ELECTRONS,ORBITALS around the Fermi level, frozen_core, or AVAS labels: 'N 2p'.")
]
