"""A client for programs: submit, follow, and fetch results, over broken lines too."""

from kanad_server.client.client import Client
from kanad_server.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    ExperimentCancelled,
    ExperimentFailed,
    InvalidInput,
    NotAllowed,
    NotConverged,
    NotFound,
    OutOfMemory,
    SomeFailed,
    TimedOut,
    TooLarge,
    Unavailable,
    Unreachable,
    WorkerLost,
)
from kanad_server.client.run import Run
from kanad_server.client.sync import SyncClient, SyncRun

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Conflict",
    "ExperimentCancelled",
    "ExperimentFailed",
    "InvalidInput",
    "NotAllowed",
    "NotConverged",
    "NotFound",
    "OutOfMemory",
    "Run",
    "SomeFailed",
    "SyncClient",
    "SyncRun",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "Unreachable",
    "WorkerLost",
]
