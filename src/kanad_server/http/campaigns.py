"""Campaigns: post, read, list, table, cancel, delete, and the stream of all their members."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from kanad_server import campaigns, clock
from kanad_server.batch import Message, in_batches
from kanad_server.board import Watcher
from kanad_server.errors import Conflict, Malformed, NotFound
from kanad_server.http.body import answer, convert, decoded, query_int, read_body
from kanad_server.http.experiments import key_of, person_of, service_of
from kanad_server.http.outlet import Goodbye, Outlet
from kanad_server.http.stream import DONE, NOT_FOUND, deaf, restarting, session
from kanad_server.service import Service
from kanad_server.store import Campaign
from kanad_server.wire import (
    CampaignPage,
    CampaignPost,
    CampaignProgress,
    CampaignView,
    Member,
    MemberProgress,
    Spec,
    Summary,
)

MAX_PAGE = 200
_encode = msgspec.json.Encoder().encode


async def submit(request: Request) -> Response:
    """Accept a campaign with all its experiments, or nothing: 201; 200 for an Idempotency-Key used before."""
    service, owner = service_of(request), person_of(request).name
    body = await read_body(request, service.settings.max_body_bytes)
    key = key_of(request, body)
    post = await decoded(body, CampaignPost)
    planned = campaigns.plan(post)
    if key is None:
        service.dispatch.check_room(owner, len(planned))
    specs = [convert(member.spec, Spec, member.place) for member in planned]
    prepared = await service.intake.feasible_all(specs, [member.place for member in planned])
    new = Campaign(
        id=clock.new_id(), owner=owner, name=post.name, tags=post.tags, size=len(planned), created_at=clock.now()
    )
    experiments, is_new = await service.dispatch.submit(prepared, owner=owner, key=key, campaign=new)
    campaign_id = experiments[0].campaign
    campaign = None if campaign_id is None else await service.store.campaign(campaign_id)
    assert campaign is not None  # the key of this call stands for a campaign
    headers = {"Location": f"/api/v1/campaigns/{campaign.id}"}
    return answer((await _views(service, [campaign]))[0], 201 if is_new else 200, headers)


async def list_(request: Request) -> Response:
    """A page of campaigns, the newest first."""
    service, person = service_of(request), person_of(request)
    unknown = set(request.query_params) - {"limit", "cursor"}
    if unknown:
        raise Malformed("invalid_query", f"unknown parameter {sorted(unknown)[0][:80]!r}; known: ['cursor', 'limit']")
    limit = query_int(request, "limit", 50, low=1, high=MAX_PAGE)
    owner = None if person.role == "admin" else person.name
    found, cursor = await service.store.campaigns(owner, limit, request.query_params.get("cursor"))
    return answer(CampaignPage(items=await _views(service, found), next_cursor=cursor))


async def read(request: Request) -> Response:
    """One campaign."""
    service = service_of(request)
    return answer((await _views(service, [await campaign_of(request)]))[0])


async def summary(request: Request) -> Response:
    """The table of a campaign, as JSON or, for ``Accept: text/csv``, as CSV."""
    members = await _members(service_of(request), (await campaign_of(request)).id)
    if "text/csv" in request.headers.get("accept", ""):
        return _csv(members)
    return answer(Summary(items=members))


async def summary_csv(request: Request) -> Response:
    """The table of a campaign as CSV."""
    campaign = await campaign_of(request)
    response = _csv(await _members(service_of(request), campaign.id))
    response.headers["Content-Disposition"] = f'attachment; filename="{campaign.id}.csv"'
    return response


async def cancel(request: Request) -> Response:
    """Ask for the end of every member that has not ended: 202."""
    service, campaign = service_of(request), await campaign_of(request)
    await service.dispatch.cancel(*await service.store.member_ids(campaign.id, active=True))
    return answer((await _views(service, [campaign]))[0], 202)


async def delete(request: Request) -> Response:
    """Forget a campaign that has ended, with its experiments: 204."""
    service, campaign = service_of(request), await campaign_of(request)
    ids = await service.store.member_ids(campaign.id)
    active = await service.store.member_ids(campaign.id, active=True)
    if active or any(service.journal.head(member) is not None for member in ids):
        raise Conflict("still_active", f"{len(active)} experiments of the campaign have not ended; cancel it first")
    await service.store.delete_campaign(campaign.id)
    service.dispatch.forget_all(ids)
    await asyncio.to_thread(_forget_files, service, ids)
    return Response(status_code=204)


async def stream(socket: WebSocket) -> None:
    """Serve one viewer: the campaign and its members, then what changes, until all have ended."""
    service: Service = socket.app.state.service

    async def talk(outlet: Outlet) -> None:
        try:
            campaign = await campaign_of(socket)
        except NotFound as error:
            raise Goodbye(NOT_FOUND, error.message) from None
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_closing(service), name="campaign-closing")
            await _show(service, campaign, outlet)

    await session(socket, talk, deaf)


async def campaign_of(connection: HTTPConnection) -> Campaign:
    """The campaign that the path names.

    Raises:
        NotFound: there is none for the person who asks; one of somebody else is answered alike.
    """
    service: Service = connection.app.state.service
    campaign_id: str = connection.path_params["id"]
    campaign = await service.store.campaign(campaign_id)
    if campaign is None or not person_of(connection).sees(campaign):
        raise NotFound("not_found", f"there is no campaign {campaign_id[:100]!r}")
    return campaign


async def _show(service: Service, campaign: Campaign, outlet: Outlet) -> None:
    """The whole table, then what changes in it, conflated to the newest."""
    watcher = Watcher(lambda experiment: experiment.campaign == campaign.id, "*")
    with service.hub.board.watched(watcher):
        # The table is read behind the first look at the board: what is committed in between is shown by both.
        table = {member.experiment_id: member for member in await _members(service, campaign.id)}
        view = campaigns.view_of(campaign, table.values())
        await _tell(outlet, [CampaignProgress(time=clock.now(), campaign=view), *_told(campaign, table.values())])
        while view.status != "ended":
            news = [standing.experiment for standing in await watcher.news()]
            after = [campaigns.updated(table[one.id], one) for one in news if one.id in table]
            changed = [member for member in after if member is not table[member.experiment_id]]
            table |= {member.experiment_id: member for member in changed}
            before, view = view, campaigns.view_of(campaign, table.values())
            progress = [] if view == before else [CampaignProgress(time=clock.now(), campaign=view)]
            await _tell(outlet, [*progress, *_told(campaign, changed)])
    raise Goodbye(DONE, "every experiment of the campaign has ended")


def _told(campaign: Campaign, members: Iterable[Member]) -> list[MemberProgress]:
    now = clock.now()
    return [MemberProgress(time=now, campaign_id=campaign.id, member=member) for member in members]


async def _tell(outlet: Outlet, news: Sequence[CampaignProgress | MemberProgress]) -> None:
    for batch in in_batches([Message(_encode(one).decode()) for one in news]):
        if not outlet.put(batch):
            await outlet.clear()


async def _until_closing(service: Service) -> None:
    await service.hub.closing()
    raise restarting()


async def _members(service: Service, campaign_id: str) -> list[Member]:
    """The table, with the progress of those that run."""
    return [_live(service, member) for member in await service.store.members(campaign_id)]


def _live(service: Service, member: Member) -> Member:
    known = service.journal.committed(member.experiment_id)
    if known is None or member.status != "running":
        return member
    progress = known.progress
    return replace(member, percent=progress.percent, energy_hartree=progress.energy_hartree, last_seq=known.last_seq)


async def _views(service: Service, found: list[Campaign]) -> list[CampaignView]:
    counts = await service.store.member_counts([campaign.id for campaign in found])
    running = service.dispatch.percents_of_running()
    return [
        campaigns.view(campaign, count, running.get(campaign.id, 0.0))
        for campaign, count in zip(found, counts, strict=True)
    ]


def _csv(members: list[Member]) -> Response:
    return Response(campaigns.table_csv(members), media_type="text/csv")


def _forget_files(service: Service, ids: Iterable[str]) -> None:
    for experiment_id in ids:
        service.files.forget(experiment_id)
