"""How the server is: health, slots, metrics."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from msgspec.structs import replace
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from kanad_server.errors import Unavailable
from kanad_server.http.body import answer
from kanad_server.http.experiments import person_of, service_of
from kanad_server.people import Person
from kanad_server.service import Service
from kanad_server.wire import Health, SlotView, System

NAMED_PACKAGES = ("kanad-server", "pyscf", "numpy", "scipy", "rdkit", "starlette", "hypercorn", "msgspec")


async def live(request: Request) -> Response:
    """The process serves."""
    return answer(Health(status="ok"))


async def ready(request: Request) -> Response:
    """The server can take work; 503 with the reasons when it cannot."""
    service = service_of(request)
    reasons = service.unready()
    try:
        await service.store.any_token()
    except Unavailable:
        reasons.append("the store cannot read")
    if reasons:
        return answer(Health(status="unavailable", reasons=tuple(reasons)), 503, {"Retry-After": "1"})
    return answer(Health(status="ok"))


async def system(request: Request) -> Response:
    """Versions, slots and queue length."""
    service = service_of(request)
    return answer(
        System(
            versions=_versions(),
            slots=[_seen(slot.view(), service, person_of(request)) for slot in service.engine.slots],
            queue_length=service.dispatch.queue_length,
            viewers=service.hub.viewers,
            started_at=service.started_at,
            engines=list(service.engine.view()),
        )
    )


def _seen(slot: SlotView, service: Service, person: Person) -> SlotView:
    """The slot without the id of an experiment that is not there for this person."""
    head = None if slot.experiment_id is None else service.journal.head(slot.experiment_id)
    return slot if head is None or person.sees(head) else replace(slot, experiment_id=None)


async def metrics(request: Request) -> Response:
    """The same in Prometheus' words."""
    service = service_of(request)
    try:
        counts = await service.store.counts()
        notices = await service.store.waiting_notifications()
    except Unavailable:
        counts, notices = {}, None  # the other figures matter the more while the store is away
    page = service.metrics.page(service, counts, notices, getattr(request.app.state, "connections", None))
    return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in NAMED_PACKAGES}
