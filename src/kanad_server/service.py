"""All rooms of a running server, opened and closed in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kanad_server import clock, datadir, keeper, webhooks
from kanad_server.dispatch import Dispatch
from kanad_server.engines import Engine, choice
from kanad_server.engines.desk import Desk
from kanad_server.engines.worker import Keeping
from kanad_server.files import Files
from kanad_server.gate import Gate
from kanad_server.hub import Hub
from kanad_server.intake import Intake
from kanad_server.journal import Journal
from kanad_server.metrics import Metrics
from kanad_server.notifier import Notifier
from kanad_server.peer import Pulse
from kanad_server.settings import Settings
from kanad_server.store import SqliteStore, Store
from kanad_server.webhooks import Allowed
from kanad_server.wire import Experiment

log = logging.getLogger(__name__)

SETTLE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the routes work with."""

    settings: Settings
    store: Store
    hub: Hub
    journal: Journal
    engine: Engine
    dispatch: Dispatch
    intake: Intake
    desk: Desk
    files: Files
    gate: Gate
    notifier: Notifier
    pulse: Pulse
    metrics: Metrics = field(default_factory=Metrics)
    started_at: str = field(default_factory=clock.now)

    def drain(self) -> None:
        """Take no more work and let every viewer go; what runs is interrupted when the service closes."""
        self.dispatch.is_draining = True
        self.hub.close()

    def status_changed(self, experiment: Experiment) -> None:
        """An experiment has a new status, which is committed: count it, and log it with its id."""
        self.metrics.status_changed(experiment)
        is_trouble = experiment.status == "failed" or (experiment.status == "queued" and experiment.losses > 0)
        about = {"experiment_id": experiment.id, "attempt": experiment.attempt, "owner": experiment.owner}
        code = {} if experiment.error is None else {"code": experiment.error.code}
        # Each status is a message of its own: `Patience` then holds back none because of another.
        log.log(logging.WARNING if is_trouble else logging.INFO, f"experiment {experiment.status}", extra=about | code)

    def unready(self) -> list[str]:
        """Why the server cannot take work now; empty when it can."""
        reasons = []
        if self.dispatch.is_draining:
            reasons.append("the server is going down")
        if self.journal.failure is not None:
            reasons.append("the store cannot write")
        slots = self.engine.slots
        if slots and all(slot.view().state == "starting" for slot in slots):
            reasons.append("no slot is alive")
        return reasons


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Everything that serves, inside one task group; leaving means that it has stopped.

    Raises:
        StartRefused: the data directory is in use, or its store cannot be used.
    """
    data = settings.data_path
    with datadir.owned(data):
        async with SqliteStore(datadir.store_file(data)) as store:
            hub = Hub(settings.max_viewers)
            journal = Journal(store, hub)
            scratch = settings.scratch_path
            files = Files(datadir.kept_files(data.absolute()))
            keeping = Keeping(str(files.directory), settings.checkpoint_s)
            async with choice.open_engine(settings, scratch, journal, keeping) as engine:
                desk = Desk(scratch)
                allowed = Allowed(settings.notified_origins, settings.notified_networks)
                secret = webhooks.secret_of(settings.notify_secret, data) if allowed.origins else ""
                intake = Intake(desk, enable_probe=settings.enable_probe, allowed=allowed)
                service = Service(
                    settings=settings,
                    store=store,
                    hub=hub,
                    journal=journal,
                    engine=engine,
                    dispatch=Dispatch(
                        journal,
                        engine,
                        max_attempts=settings.max_attempts,
                        max_waiting=settings.max_waiting,
                        max_waiting_per_person=settings.max_waiting_per_person,
                        files=files,
                        estimated_s=intake.estimated_s,
                        large_above_s=settings.local_up_to_s,
                    ),
                    intake=intake,
                    notifier=Notifier(store, allowed, secret),
                    desk=desk,
                    files=files,
                    gate=Gate(store, may_be_open=settings.is_loopback, streams_each=settings.max_viewers_each),
                    pulse=Pulse(settings.beat_s, settings.silent_s),
                )
                try:
                    async with _running(service):
                        yield service
                finally:
                    await desk.close()


@asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    """The service's tasks. A task that fails takes the service down: it would be lame without it."""
    service.journal.on_status = service.status_changed
    service.journal.on_notify = service.notifier.wake
    async with asyncio.TaskGroup() as group:
        committing = group.create_task(service.journal.run(), name="journal")
        others = [
            group.create_task(service.dispatch.run(), name="dispatch"),
            group.create_task(service.engine.warm(), name="warm-slots"),
            group.create_task(service.desk.warm(), name="warm-desk"),
            group.create_task(keeper.keep(service.store, service.settings.keep_days), name="keeper"),
            group.create_task(service.metrics.sample_loop(), name="loop-sampler"),
            group.create_task(service.pulse.run(), name="pulse"),
            group.create_task(service.notifier.run(), name="notifier"),
        ]
        try:
            await service.dispatch.has_taken_up.wait()
            yield
        finally:
            service.drain()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            # The interrupted attempts are queued again in the store before its writer goes.
            try:
                async with asyncio.timeout(SETTLE_S):
                    await service.journal.settle()
            except TimeoutError:
                pass
            committing.cancel()
