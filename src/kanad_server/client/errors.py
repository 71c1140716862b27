"""The errors of the client.

ClientError
+-- ApiError           the server refused; carries status, code and the fields that are wrong
+-- ExperimentFailed   the experiment ended without a result; carries its error
+-- Unreachable        no server answers at the address
"""

from __future__ import annotations

from kanad_server.wire import Error, Experiment, Problem


class ClientError(Exception):
    """Root of the errors of the client."""


class ApiError(ClientError):
    """The server's answer was a problem; `problem` is all of it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")

    @property
    def code(self) -> str:
        """The stable code."""
        return self.problem.code


class ExperimentFailed(ClientError):
    """The experiment failed or was cancelled, so there is no result."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        error = experiment.error or Error(code=experiment.status, message=f"it was {experiment.status}")
        super().__init__(f"experiment {experiment.id}: {error.code}: {error.message}")


class Unreachable(ClientError):
    """No server answers at the address."""
