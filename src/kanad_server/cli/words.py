"""From the words of a command to a spec."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import typer

from kanad_server.cli.options import Described
from kanad_server.client import specs
from kanad_server.client.inputs import read
from kanad_solvers.spec import MAX_NAME


def spec_of(source: str, said: Described, **others: Any) -> dict[str, Any]:
    """The spec that a source (a file, SMILES or a library name) and the options of a command describe.

    What a file says holds, except where an option says otherwise; the server checks the rest. `others` are laid over
    it where they are not None. What is read from a file has the file's name, unless it says another.

    Raises:
        typer.BadParameter: a file or a value cannot be read.
    """
    is_file = specs.is_file_name(source)
    try:
        described = read(Path(source)) if is_file else {"molecule": specs.molecule_of(source)}
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    method_options, task_options = _options(said)
    limits = {"wall_s": said.wall_s, "memory_mb": said.memory_mb}
    spec = specs.build(
        described,
        charge=said.charge,
        multiplicity=said.multiplicity,
        basis=said.basis,
        active_space=_active_space(said.active_space),
        solvent=_solvent(said.solvent),
        cartesian=said.cartesian or None,
        limits={name: value for name, value in limits.items() if value is not None} or None,
    )
    for part, name, options in (("method", said.method, method_options), ("task", said.task, task_options)):
        before = spec.get(part, {"name": "hf" if part == "method" else "energy"})
        wanted = before["name"] if name is None else name.lower()
        chosen = before if wanted == before["name"] else {"name": wanted}
        spec[part] = chosen | options
    if is_file:
        spec.setdefault("name", Path(source).name[:MAX_NAME])
    return spec | {name: value for name, value in others.items() if value is not None}


def _options(said: Described) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the method and of the task; some have words of their own."""
    method, task = assignments(said.option), assignments(said.task_option)
    if said.seed is not None:
        method["seed"] = said.seed
    if said.gradient:
        task["gradient"] = True
    if said.n_states is not None:
        (task if (said.task or "").lower() == "excited_states" else method)["n_states"] = said.n_states
    return method, task


def assignments(texts: list[str] | None) -> dict[str, Any]:
    """``name=value`` words; a value is JSON where it can be, else text."""
    found: dict[str, Any] = {}
    for text in texts or []:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"an option is name=value, got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _solvent(text: str | None) -> dict[str, str] | None:
    """``cpcm``, or ``cpcm:ethanol``."""
    if text is None:
        return None
    model, separator, name = text.partition(":")
    return {"model": model} | ({"name": name} if separator else {})


def _active_space(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    if text == "frozen_core":
        return {"frozen_core": True}
    window = re.fullmatch(r"(\d+),(\d+)", text, re.ASCII)
    if window:
        return {"electrons": int(window[1]), "orbitals": int(window[2])}
    labels = [label.strip() for label in text.split(",")]
    if not all(re.fullmatch(r"(\d+ )?[A-Z][a-z]? \d[a-z]", label, re.ASCII) for label in labels):
        raise typer.BadParameter(
            "an active space is ELECTRONS,ORBITALS such as 6,6, or frozen_core, or AVAS labels such as 'N 2p',"
            f" got {text!r}"
        )
    return {"avas": labels}
