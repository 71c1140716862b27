"""Which engine a server has, by its setting: `local`, `dask://host:port`, `dask-local`, or `local+` one of those."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from kanad_server.datadir import kept_word
from kanad_server.engines.base import Engine, Need
from kanad_server.engines.both import BothEngines
from kanad_server.engines.local import LocalEngine
from kanad_server.engines.slot import Gate
from kanad_server.engines.worker import Keeping
from kanad_server.errors import StartRefused
from kanad_server.settings import Settings

PATTERN = re.compile(r"(?P<both>local\+)?(?P<cluster>dask-local|dask://[^\s/]+:\d{1,5})")
ID_FILE = "cluster-id"


def check(settings: Settings) -> None:
    """Refuse a setting that names no engine.

    Raises:
        StartRefused: it does not, or a file that it needs cannot be read.
    """
    if settings.engine != "local" and PATTERN.fullmatch(settings.engine) is None:
        raise StartRefused(
            "invalid_settings",
            "engine must be local, dask://host:port, dask-local, or local+ one of those for both at once;"
            f" got {settings.engine!r}",
        )
    names = (settings.cluster_ca_file, settings.cluster_certfile, settings.cluster_keyfile)
    if any(names) and not all(names):
        raise StartRefused(
            "invalid_settings", "cluster_ca_file, cluster_certfile and cluster_keyfile go together: set all, or none"
        )
    for name in filter(None, names):
        if not os.access(name, os.R_OK):
            raise StartRefused("invalid_settings", f"{name} cannot be read; check the cluster_* settings")


@asynccontextmanager
async def open_engine(settings: Settings, scratch: Path, gate: Gate, keeping: Keeping) -> AsyncIterator[Engine]:
    """The engine of the settings; leaving means that nothing of it runs here any more.

    Raises:
        StartRefused: the extra is missing.
    """
    chosen = PATTERN.fullmatch(settings.engine)
    is_both = chosen is not None and chosen["both"] is not None
    async with AsyncExitStack() as stack:
        # The desk needs the machine's processes in any case.
        local = await stack.enter_async_context(
            LocalEngine(
                settings.slots if chosen is None or is_both else 0,
                scratch,
                gate,
                keeping,
                **({"takes": _is_small} if is_both else {}),
            )
        )
        if chosen is None:
            yield local
            return
        from kanad_server.engines.dask import DaskEngine

        security = _security(settings)
        address = chosen["cluster"].replace("dask://", "tls://" if security else "tcp://")
        if chosen["cluster"] == "dask-local":
            address = await stack.enter_async_context(_local_cluster(settings.slots, scratch))
        engine = await stack.enter_async_context(
            DaskEngine(
                address,
                _own_id(settings.data_path),
                gate,
                keeping,
                security=security,
                directory=settings.cluster_dir or None,
                **({"takes": _is_large} if is_both else {}),
            )
        )
        yield BothEngines(local, engine) if is_both else engine


def _is_small(need: Need) -> bool:
    return not need.is_large


def _is_large(need: Need) -> bool:
    return need.is_large


def _security(settings: Settings) -> Any:
    """Certificates of both sides: who has none gets no connection."""
    if not settings.cluster_ca_file:
        return None
    from distributed import Security

    return Security(  # type: ignore[no-untyped-call]  # half typed
        tls_ca_file=settings.cluster_ca_file,
        tls_client_cert=settings.cluster_certfile,
        tls_client_key=settings.cluster_keyfile,
        require_encryption=True,
    )


@asynccontextmanager
async def _local_cluster(workers: int, scratch: Path) -> AsyncIterator[str]:
    """A scheduler in this process and workers of one thread in others: for trying, on this machine only."""
    try:
        from distributed import LocalCluster
    except ImportError as error:
        raise StartRefused(
            "invalid_settings", "engine dask-local needs the extra: pip install 'kanad-server[dask]'"
        ) from error
    async with LocalCluster(  # type: ignore[no-untyped-call]  # half typed
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, asynchronous=True,
        local_directory=str(scratch),
    ) as cluster:  # fmt: skip
        yield str(cluster.scheduler_address)


def _own_id(data: Path) -> str:
    """What tells this server's work in a cluster from that of others; it stays over restarts."""
    return kept_word(data, ID_FILE, lambda: uuid.uuid4().hex[:12])
