"""Experiments: post, read, list, change, cancel, retry, delete."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import msgspec
from msgspec.structs import replace
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from kanad_server import wording
from kanad_server.errors import Conflict, Malformed, no_experiment
from kanad_server.http import sse
from kanad_server.http.body import MAX_SHOWN, answer, beside, decoded, query_int, read_body, until_gone
from kanad_server.http.specs import decode_spec
from kanad_server.intake import under
from kanad_server.journal import Key
from kanad_server.people import Person
from kanad_server.service import Service
from kanad_server.store import Filter, Store
from kanad_server.wire import Accepted, Batch, Experiment, ExperimentPage, ExperimentPatch

MAX_KEY = 200
MAX_WAIT_S = 300
MAX_PAGE = 200
MAX_EVENTS = 10_000
LISTED_FCIDUMP = 500
"""Characters of an FCIDUMP that a list shows."""


def service_of(request: Request) -> Service:
    """The service behind the app."""
    service: Service = request.app.state.service
    return service


def person_of(connection: HTTPConnection) -> Person:
    """Who asks."""
    person: Person = connection.state.person
    return person


async def submit(request: Request) -> Response:
    """Accept one spec: 201 once it is durable; 200 for an Idempotency-Key that was used before."""
    service, owner = service_of(request), person_of(request).name
    wait_s = _preferred_wait(request)
    body = await read_body(request, service.settings.max_body_bytes)
    key = key_of(request, body)
    if key is None:
        service.dispatch.check_room(owner, 1)
    prepared = await service.intake.feasible(await beside(decode_spec, body))
    (experiment,), is_new = await service.dispatch.submit([prepared.spec], owner=owner, key=key)
    headers = {"Location": f"/api/v1/experiments/{experiment.id}"}
    if wait_s is not None:
        experiment = await _ended(request, experiment, wait_s)
        headers["Preference-Applied"] = f"wait={wait_s}"
    return answer(service.dispatch.seen(experiment), 201 if is_new else 200, headers)


async def submit_batch(request: Request) -> Response:
    """Accept many specs, all or nothing: 201 once they are durable; 200 for an Idempotency-Key that was used before."""
    service, owner = service_of(request), person_of(request).name
    body = await read_body(request, service.settings.max_body_bytes)
    key = key_of(request, body)
    specs = (await decoded(body, Batch)).experiments
    if key is None:
        service.dispatch.check_room(owner, len(specs))
    prepared = await service.intake.feasible_all(
        specs, [under(f"$.experiments[{number}]") for number in range(len(specs))]
    )
    experiments, is_new = await service.dispatch.submit(prepared, owner=owner, key=key)
    seen = [service.dispatch.seen(experiment) for experiment in experiments]
    return answer(Accepted(items=seen), 201 if is_new else 200)


def key_of(request: Request, body: bytes) -> Key | None:
    """The Idempotency-Key, with the call and the body for which it stands.

    Raises:
        Malformed: it is empty or too long.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY:
        raise Malformed("invalid_key", f"Idempotency-Key must have 1 to {MAX_KEY} characters, got {len(key)}")
    call = request.url.path.removesuffix("/").rpartition("/")[2]
    prefix = b"" if call == "experiments" else call.encode() + b"\0"  # keys of the first version had no prefix
    return Key(person_of(request).name, key, hashlib.sha256(prefix + body).hexdigest())


async def read(request: Request) -> Response:
    """One experiment."""
    return answer(service_of(request).dispatch.seen(await experiment_of(request)))


async def list_(request: Request) -> Response:
    """A page of experiments."""
    service = service_of(request)
    items, cursor = await service.store.page(_filter(request))
    seen = [_listed(service.dispatch.seen(service.journal.live(item))) for item in items]
    return answer(ExperimentPage(items=seen, next_cursor=cursor))


def _listed(experiment: Experiment) -> Experiment:
    """The experiment as a list has it: of a long FCIDUMP the beginning."""
    molecule = experiment.spec.molecule
    if molecule.fcidump is None or len(molecule.fcidump) <= LISTED_FCIDUMP:
        return experiment
    shown = replace(molecule, fcidump=molecule.fcidump[:LISTED_FCIDUMP])
    return replace(experiment, spec=replace(experiment.spec, molecule=shown))


async def result(request: Request) -> Response:
    """The result of a completed experiment."""
    experiment = await experiment_of(request)
    body = await service_of(request).store.result(experiment.id)
    if body is not None:
        return Response(body, media_type="application/json")
    if experiment.is_final:
        raise Conflict("no_result", f"the experiment is {experiment.status}; it has no result")
    raise Conflict("not_finished", f"the experiment is {experiment.status}; ask again once it is completed")


async def events(request: Request) -> Response | sse.EventStream:
    """A stretch of the log; for ``Accept: text/event-stream`` the log and what comes, to the end."""
    if sse.is_wanted(request):
        return await _event_stream(request)
    after = query_int(request, "after", 0, low=0, high=2**53)
    limit = query_int(request, "limit", 1000, low=1, high=MAX_EVENTS)
    experiment = await experiment_of(request)
    rows = await service_of(request).store.events(experiment.id, after, limit)  # refused before an answer begins
    parts = _page(service_of(request).store, experiment, rows, limit)
    return StreamingResponse(parts, media_type="application/json")


async def _event_stream(request: Request) -> Response | sse.EventStream:
    experiment = await experiment_of(request)
    after = sse.position(request, experiment)
    if experiment.is_final and after == experiment.last_seq:
        return Response(status_code=204)  # a browser that comes back for more stays away then
    return sse.EventStream(service_of(request), experiment.id, after)


async def _page(store: Store, experiment: Experiment, rows: list[tuple[int, str]], limit: int) -> AsyncIterator[str]:
    """An `EventPage` that begins with `rows`, in parts: a log of large events is never in memory whole."""
    last, comma = experiment.last_seq, ""
    yield '{"items":['
    while rows:
        yield comma + ",".join(body for _, body in rows)
        comma = ","
        last = rows[-1][0]
        limit -= len(rows)
        rows = await store.events(experiment.id, last, limit) if limit and last < experiment.last_seq else []
    yield f'],"next_after":{last if last < experiment.last_seq else "null"}}}'


async def cancel(request: Request) -> Response:
    """Ask for the end: 202, again and again the same."""
    service, experiment = service_of(request), await experiment_of(request)
    await service.dispatch.cancel(experiment.id)
    return answer(await service.journal.current(experiment.id) or experiment, 202)


async def retry(request: Request) -> Response:
    """A new attempt of a failed or cancelled experiment: 202."""
    service, experiment = service_of(request), await experiment_of(request)
    return answer(service.dispatch.seen(await service.dispatch.retry(experiment.id)), 202)


async def change(request: Request) -> Response:
    """Give an experiment that waits another priority: 200."""
    service, experiment = service_of(request), await experiment_of(request)
    patch = await decoded(await read_body(request, service.settings.max_body_bytes), ExperimentPatch)
    return answer(service.dispatch.seen(await service.dispatch.prioritize(experiment.id, patch.priority)))


async def delete(request: Request) -> Response:
    """Forget an experiment that has ended: 204."""
    service = service_of(request)
    experiment = await experiment_of(request)
    if not experiment.is_final or service.journal.head(experiment.id) is not None:
        raise Conflict("still_active", f"the experiment is {experiment.status}; cancel it first")
    service.dispatch.forget(experiment)
    await service.store.delete(experiment.id)
    await asyncio.to_thread(service.files.forget, experiment.id)
    return Response(status_code=204)


async def experiment_of(request: Request) -> Experiment:
    """The experiment that the path names.

    Raises:
        NotFound: there is none for the person who asks; one of somebody else is answered alike.
    """
    experiment_id: str = request.path_params["id"]
    experiment = await service_of(request).journal.current(experiment_id)
    if experiment is None or not person_of(request).sees(experiment):
        raise no_experiment(experiment_id)
    return experiment


async def _ended(request: Request, experiment: Experiment, wait_s: int) -> Experiment:
    """The experiment once it has ended, after `wait_s` seconds, or when the client or the server goes."""
    service = service_of(request)
    if service.journal.committed(experiment.id) is not None:
        ending = asyncio.create_task(service.hub.end_of(experiment.id), name="experiment-ends")
        leaving = asyncio.create_task(until_gone(request.receive), name="client-leaves")
        try:
            await asyncio.wait((ending, leaving), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if ending.done() and (end := ending.result()) is not None:
                return end
        finally:
            ending.cancel()
            leaving.cancel()
    return await service.journal.current(experiment.id) or experiment


def _preferred_wait(request: Request) -> int | None:
    """The seconds of ``Prefer: wait=N`` (RFC 7240); other preferences are not ours to refuse."""
    match = re.search(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", request.headers.get("prefer", ""), re.ASCII)
    return None if match is None else min(int(match[1]), MAX_WAIT_S)


def _filter(request: Request) -> Filter:
    person = person_of(request)
    known = set(Filter.__struct_fields__) - ({"owner"} if person.role != "admin" else set())
    values: dict[str, object] = {
        name: value for name, value in request.query_params.items() if name in known and value != ""
    }
    unknown = set(request.query_params) - known
    if unknown:
        raise Malformed("invalid_query", f"unknown parameter {sorted(unknown)[0][:80]!r}; known: {sorted(known)}")
    if person.role != "admin":
        values["owner"] = person.name
    values["limit"] = query_int(request, "limit", 50, low=1, high=MAX_PAGE)
    try:
        return msgspec.convert(values, Filter)
    except msgspec.ValidationError as error:
        path, rule = wording.of(error, Filter, values)
        name = path.removeprefix("$.")
        raise Malformed("invalid_query", f"{name} {rule}, got {str(values.get(name))[:MAX_SHOWN]!r}") from None
