"""The application: routes and their service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from kanad_server.http import (
    artifacts,
    asyncapi,
    campaigns,
    experiments,
    methods,
    molecules,
    openapi,
    pages,
    stream,
    system,
    tickets,
)
from kanad_server.http.guard import Guard
from kanad_server.http.problems import HANDLERS
from kanad_server.http.rules import guarded
from kanad_server.service import open_service
from kanad_server.settings import Settings, read_settings

API = "/api/v1"


def routes() -> list[BaseRoute]:
    """The route table, each route behind its rule."""
    one, campaign = "/experiments/{id}", "/campaigns/{id}"
    table: list[BaseRoute] = [
        Mount(
            API,
            routes=[
                Route("/experiments", experiments.submit, methods=["POST"]),
                Route("/experiments", experiments.list_, methods=["GET"]),
                Route("/experiments/batch", experiments.submit_batch, methods=["POST"]),
                Route(one, experiments.read, methods=["GET"]),
                Route(one, experiments.change, methods=["PATCH"]),
                Route(one, experiments.delete, methods=["DELETE"]),
                Route(f"{one}/result", experiments.result, methods=["GET"]),
                Route(f"{one}/events", experiments.events, methods=["GET"]),
                Route(f"{one}/artifacts", artifacts.listing, methods=["GET"]),
                Route(f"{one}/artifacts/{{name}}", artifacts.download, methods=["GET"]),
                Route(f"{one}/cancel", experiments.cancel, methods=["POST"]),
                Route(f"{one}/retry", experiments.retry, methods=["POST"]),
                WebSocketRoute(f"{one}/stream", stream.stream),
                Route("/campaigns", campaigns.submit, methods=["POST"]),
                Route("/campaigns", campaigns.list_, methods=["GET"]),
                Route(campaign, campaigns.read, methods=["GET"]),
                Route(campaign, campaigns.delete, methods=["DELETE"]),
                Route(f"{campaign}/summary", campaigns.summary, methods=["GET"]),
                Route(f"{campaign}/summary.csv", campaigns.summary_csv, methods=["GET"]),
                Route(f"{campaign}/cancel", campaigns.cancel, methods=["POST"]),
                WebSocketRoute(f"{campaign}/stream", campaigns.stream),
                WebSocketRoute("/stream", stream.streams),
                Route("/tickets", tickets.issue, methods=["POST"]),
                Route("/estimate", molecules.estimate, methods=["POST"]),
                Route("/molecules/parse", molecules.parse, methods=["POST"]),
                Route("/molecules", molecules.library, methods=["GET"]),
                Route("/methods", methods.methods, methods=["GET"]),
                Route("/system", system.system, methods=["GET"]),
            ],
        ),
        Route("/health/live", system.live, methods=["GET"]),
        Route("/health/ready", system.ready, methods=["GET"]),
        Route("/metrics", system.metrics, methods=["GET"]),
        Route("/openapi.json", openapi.openapi, methods=["GET"]),
        Route("/asyncapi.json", asyncapi.asyncapi, methods=["GET"]),
        Route("/docs", pages.docs, methods=["GET"]),
        Route("/assets/{name}", pages.asset, methods=["GET"]),
        *(Route(path, pages.page, methods=["GET"]) for path in pages.PAGES),
    ]
    return guarded(table)


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application; its lifespan opens and closes the service (`app.state.service`)."""
    chosen = read_settings() if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_service(chosen) as service:
            app.state.service = service
            yield

    return Starlette(
        routes=routes(),
        middleware=[Middleware(Guard, chosen)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
