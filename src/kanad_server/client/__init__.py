"""A client for programs: submit, follow, and fetch results, over broken lines too."""

from kanad_server.client.client import Client, Run
from kanad_server.client.errors import ApiError, ClientError, ExperimentFailed, Unreachable

__all__ = ["ApiError", "Client", "ClientError", "ExperimentFailed", "Run", "Unreachable"]
