"""Files of a finished experiment: made from its result and its log here, from its orbitals at the desk.

A name is matched against a closed list; it never becomes a path.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kanad_server.engines import answers
from kanad_server.engines.desk import NoAnswer
from kanad_server.errors import Conflict, Malformed, NotFound, Unavailable
from kanad_server.http.body import answer
from kanad_server.http.experiments import experiment_of, service_of
from kanad_server.service import Service
from kanad_server.wire import Artifact, ArtifactPage, Experiment, Result
from kanad_solvers import interop, wavefunction
from kanad_solvers.progress import Geometry
from kanad_solvers.spec import name_of
from kanad_solvers.wavefunction import Wavefunction

MEDIA_TYPES = {
    "structure.xyz": "chemical/x-xyz",
    "trajectory.xyz": "chemical/x-xyz",
    "events.csv": "text/csv; charset=utf-8",
    "qcschema.json": "application/json",
    "orbitals.molden": "chemical/x-molden",
    "orbitals.grid": "application/octet-stream",
    "fcidump": "text/plain; charset=utf-8",
    "circuit.qasm": "text/plain; charset=utf-8",
}
CUBE = re.compile(r"orbital-([1-9][0-9]{0,3})\.cube", re.ASCII)
CUBE_TYPE = "chemical/x-cube"
MAX_GRID_ORBITALS = 32
EVENTS_AT_A_TIME = 1_000

_decode_result = msgspec.json.Decoder(Result).decode
_encode = msgspec.json.Encoder().encode


async def listing(request: Request) -> Response:
    """The files that this experiment has."""
    service, experiment = service_of(request), await experiment_of(request)
    kept = await _kept(service, experiment)
    result = await _result(service, experiment)
    return answer(ArtifactPage(items=[Artifact(name=name, media_type=_type(name)) for name in _names(result, kept)]))


async def download(request: Request) -> Response:
    """One file."""
    service, experiment = service_of(request), await experiment_of(request)
    name = request.path_params["name"]
    if name not in MEDIA_TYPES and CUBE.fullmatch(name) is None:
        raise NotFound("no_such_artifact", f"artifacts are {', '.join(MEDIA_TYPES)} and orbital-N.cube")
    result = await _result(service, experiment)
    headers = {"Content-Disposition": f'attachment; filename="{experiment.id}-{name}"'}
    if name == "events.csv":
        return StreamingResponse(_events_csv(service, experiment.id), media_type=_type(name), headers=headers)
    if name == "trajectory.xyz" and result.geometry is not None:
        return StreamingResponse(_trajectory(service, experiment.id, result), media_type=_type(name), headers=headers)
    content = await _content(request, service, experiment, result, name)
    return Response(content, media_type=_type(name), headers=headers)


async def _content(request: Request, service: Service, experiment: Experiment, result: Result, name: str) -> bytes:
    if name in ("structure.xyz", "trajectory.xyz", "qcschema.json") and result.geometry is None:
        raise NotFound("no_such_artifact", f"this experiment has no nuclei, so no {name}")
    if name == "structure.xyz":
        method = name_of(experiment.spec.method)
        return interop.structure_xyz(result, f"{experiment.id} {method}/{experiment.spec.basis}").encode()
    if name == "qcschema.json":
        return interop.qcschema(experiment.spec, result).encode()
    kept = await _kept(service, experiment)
    if name != "circuit.qasm" and kept is not None and kept.molecule.orbitals is not None:
        raise NotFound("no_such_artifact", f"this experiment has no nuclei, so no {name}")
    if kept is None or (name == "circuit.qasm" and kept.qasm is None):
        raise NotFound("no_such_artifact", f"this experiment has no {name}")
    if name == "circuit.qasm":
        return str(kept.qasm).encode()
    cube = CUBE.fullmatch(name)
    numbers = (int(cube[1]),) if cube else _asked_orbitals(request, kept) if name == "orbitals.grid" else ()
    kinds: dict[str, Literal["molden", "cube", "grid", "fcidump"]] = {
        "orbitals.molden": "molden", "orbitals.grid": "grid", "fcidump": "fcidump",
    }  # fmt: skip
    path = service.files.orbitals(experiment.id)
    return await _made(service, path, kinds.get(name, "cube"), numbers)


async def _made(
    service: Service, path: Path, kind: Literal["molden", "cube", "grid", "fcidump"], numbers: tuple[int, ...]
) -> bytes:
    """A file made at the desk, which has PySCF."""
    question = answers.FileQuestion(path=str(path), kind=kind, numbers=numbers)
    try:
        reply = await service.desk.ask(answers.make_file, _encode(question))
    except NoAnswer:
        raise Unavailable("artifact_failed", "the file could not be made in time; try again later") from None
    if reply[:1] == b"1":
        return reply[1:]
    refusal = answers.decode_reply(reply[1:])
    assert isinstance(refusal, answers.Refusal)
    raise NotFound("no_such_artifact", "; ".join(error.message for error in refusal.errors))


def _asked_orbitals(request: Request, kept: Wavefunction) -> tuple[int, ...]:
    """The orbitals of ``?orbitals=4,5``; left out, the highest filled and the lowest empty one."""
    asked = request.query_params.get("orbitals")
    if asked is None:
        return _frontier(kept)
    parts = asked.split(",")
    if len(parts) > MAX_GRID_ORBITALS or not all(re.fullmatch(r"[0-9]{1,4}", part, re.ASCII) for part in parts):
        raise Malformed(
            "invalid_query", f"orbitals are up to {MAX_GRID_ORBITALS} numbers such as 4,5; got {asked[:60]!r}"
        )
    return tuple(int(part) for part in parts)


def _frontier(kept: Wavefunction) -> tuple[int, ...]:
    electrons = kept.molecule.electrons
    filled = min(max((electrons + kept.molecule.multiplicity - 1) // 2, 1), kept.orbitals)
    return (filled, filled + 1) if filled < kept.orbitals else (filled,)


def _names(result: Result, kept: Wavefunction | None) -> list[str]:
    names = ["events.csv"] + ["structure.xyz", "qcschema.json"] * (result.geometry is not None)
    if result.optimization is not None:
        names.append("trajectory.xyz")
    if kept is not None and kept.molecule.orbitals is not None:
        names += ["circuit.qasm"] * (kept.qasm is not None)
    elif kept is not None:
        names += ["orbitals.molden", "orbitals.grid", *(f"orbital-{n}.cube" for n in _frontier(kept))]
        names += ["fcidump"] * (kept.sets == 1) + ["circuit.qasm"] * (kept.qasm is not None)
    return sorted(names)


def _type(name: str) -> str:
    return MEDIA_TYPES.get(name, CUBE_TYPE)


async def _kept(service: Service, experiment: Experiment) -> Wavefunction | None:
    """The orbitals, if they were kept."""
    try:
        return wavefunction.decode(await asyncio.to_thread(service.files.orbitals(experiment.id).read_bytes))
    except (OSError, msgspec.MsgspecError):
        return None


async def _result(service: Service, experiment: Experiment) -> Result:
    body = await service.store.result(experiment.id)
    if body is not None:
        return _decode_result(body)
    if experiment.is_final:
        raise Conflict("no_result", f"the experiment is {experiment.status}; it has no files")
    raise Conflict("not_finished", f"the experiment is {experiment.status}; ask again once it is completed")


async def _events(service: Service, experiment_id: str) -> AsyncIterator[list[str]]:
    """The log, page by page."""
    after = 0
    while rows := await service.store.events(experiment_id, after, EVENTS_AT_A_TIME):
        yield [body for _, body in rows]
        after = rows[-1][0]


async def _events_csv(service: Service, experiment_id: str) -> AsyncIterator[str]:
    yield "".join(interop.events_csv([]))
    async for bodies in _events(service, experiment_id):
        yield "".join(interop.events_csv(map(msgspec.json.decode, bodies), header=False))


async def _trajectory(service: Service, experiment_id: str, result: Result) -> AsyncIterator[str]:
    assert result.geometry is not None
    decode = msgspec.json.Decoder(Geometry).decode
    async for bodies in _events(service, experiment_id):
        frames = [decode(body) for body in bodies if '"type":"geometry"' in body]
        yield "".join(interop.trajectory_xyz(result.geometry.symbols, frames))
