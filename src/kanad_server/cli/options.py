"""Options that several commands have, each said once; and modules that are loaded when a command needs them.

`kanad serve` must not wait for the client, and `kanad --help` for nothing at all.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import typer

DEFAULT_URL = "http://127.0.0.1:8000"


def _checked(value: str) -> str:
    from kanad_server import address

    try:
        address.parse(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


def _url(check: Callable[[str], str] | None = None) -> Any:
    return typer.Option("--url", envvar="KANAD_URL", callback=check, help="The server's address.")


Url = Annotated[str, _url(_checked)]
UncheckedUrl = Annotated[str, _url()]
"""For a command that says itself what is wrong with it."""
Token = Annotated[
    str | None, typer.Option("--token", envvar="KANAD_TOKEN", show_envvar=True, help="Who asks, where it matters.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The experiment's id, as `kanad ls` shows it.")]


class Later:
    """A module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """Which server, and who asks."""

    url: Url = DEFAULT_URL
    token: Token = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """What an experiment is, beside its molecule."""

    method: Annotated[
        str | None, typer.Option("--method", "-m", help="As `kanad methods` lists them (default: hf).")
    ] = None
    basis: Annotated[str | None, typer.Option("--basis", "-b", help="Basis set (default: sto-3g).")] = None
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="energy, excited_states, optimize, frequencies or scan (default: energy)."),
    ] = None
    charge: Annotated[int | None, typer.Option(help="Charge of the molecule (default: 0).")] = None
    multiplicity: Annotated[int | None, typer.Option(help="2S+1 (default: 1, or the library's).")] = None
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="An option of the method: name=value; may be repeated.")
    ] = None
    task_option: Annotated[
        list[str] | None,
        typer.Option("--task-option", "-O", help="An option of the task: name=value; may be repeated."),
    ] = None
    n_states: Annotated[int | None, typer.Option(help="States: of the task excited_states, else of the method.")] = None
    seed: Annotated[int | None, typer.Option(help="Seed of the method.")] = None
    gradient: Annotated[bool, typer.Option("--gradient", help="The nuclear gradient too (task energy).")] = False
    active_space: Annotated[
        str | None,
        typer.Option(help="ELECTRONS,ORBITALS around the Fermi level, frozen_core, or AVAS labels: 'N 2p'."),
    ] = None
    solvent: Annotated[str | None, typer.Option(help="MODEL[:NAME], such as cpcm:ethanol (default: no solvent).")] = (
        None
    )
    cartesian: Annotated[bool, typer.Option("--cartesian", help="Cartesian d and f functions.")] = False
    wall_s: Annotated[float | None, typer.Option(help="End an attempt after so many seconds (default: 3600).")] = None
    memory_mb: Annotated[int | None, typer.Option(help="Memory that an attempt may use (default: 4096).")] = None


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with each parameter that is a group (a dataclass of options) replaced by the group's options."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if not dataclasses.is_dataclass(hints[name]):
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = hints[name]
        inner = get_type_hints(hints[name], include_extras=True)
        for field in dataclasses.fields(hints[name]):
            option = inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=inner[field.name]
            )
            parameters.append(option)

    @functools.wraps(command)
    def called(**values: Any) -> Any:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        return command(**values, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called
