"""The errors of the client.

    ClientError
    +-- ApiError             the server refused; carries status, code and the fields that are wrong
    |   +-- InvalidInput         400, 413, 415, 422: the request cannot be met as it stands; `errors` names fields
    |   |   +-- TooLarge             422 too_large: sound, but beyond what the server may compute
    |   +-- NotAllowed           401, 403: no token, a wrong one, or one that may not do this
    |   +-- NotFound             404: no such experiment or file
    |   +-- Conflict             409: the experiment's state does not allow it
    |   +-- Unavailable          429, 503: the server cannot do it now, and could not for as long as was waited
    +-- ExperimentFailed     the experiment ended without a result; carries its error
    |   +-- ExperimentCancelled  somebody asked for its end
    |   +-- NotConverged         change the settings
    |   +-- OutOfMemory          raise limits.memory_mb
    |   +-- TimedOut             raise limits.wall_s
    |   +-- WorkerLost           run it again
    +-- SomeFailed           of many experiments, some have no result; carries what became of each
    +-- Unreachable          no server answers at the address

Each has the `code` that HTTP answers, the event log and the command line show.
"""

from __future__ import annotations

from collections.abc import Sequence

from kanad_server.wire import Error, Experiment, Problem, Result
from kanad_solvers.errors import FieldError


class ClientError(Exception):
    """Root of the errors of the client."""

    code = "client_error"


class ApiError(ClientError):
    """The server's answer was a problem; `problem` is all of it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.code = problem.code
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """The fields that break a rule: `path` and `message` of each."""
        return self.problem.errors


class InvalidInput(ApiError):
    """The request cannot be met as it stands."""


class TooLarge(InvalidInput):
    """The input is sound, but beyond what the server may compute; `problem.details` has the estimate."""


class NotAllowed(ApiError):
    """No token, a wrong one, or one that may not do this."""


class NotFound(ApiError):
    """There is no such experiment or file."""


class Conflict(ApiError):
    """The experiment's present state does not allow it."""


class Unavailable(ApiError):
    """The server could not do it for as long as the client was told to wait."""

    retry_after_s = 0.0


class ExperimentFailed(ClientError):
    """The experiment failed or was cancelled, so there is no result."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        error = experiment.error or Error(code=experiment.status, message=f"it was {experiment.status}")
        self.code = error.code
        super().__init__(f"experiment {experiment.id}: {error.code}: {error.message}")


class ExperimentCancelled(ExperimentFailed):
    """Somebody asked for its end."""


class NotConverged(ExperimentFailed):
    """An iteration ended above its tolerance; the error's details have the last energy."""


class OutOfMemory(ExperimentFailed):
    """It needed more than `limits.memory_mb`."""


class TimedOut(ExperimentFailed):
    """It took longer than `limits.wall_s`."""


class WorkerLost(ExperimentFailed):
    """Its worker was killed or crashed."""


class SomeFailed(ClientError):
    """Some of many experiments have no result; `outcomes` has the result or the error of each, in order."""

    code = "some_failed"

    def __init__(self, outcomes: Sequence[Result | ClientError]) -> None:
        self.outcomes = list(outcomes)
        errors = [outcome for outcome in outcomes if isinstance(outcome, ClientError)]
        super().__init__(f"{len(errors)} of {len(outcomes)} have no result; the first: {errors[0]}")


class Unreachable(ClientError):
    """No server answers at the address."""

    code = "unreachable"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidInput, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: InvalidInput,
    415: InvalidInput, 422: InvalidInput, 429: Unavailable, 503: Unavailable,
}  # fmt: skip
_BY_CODE: dict[str, type[ExperimentFailed]] = {
    "not_converged": NotConverged, "out_of_memory": OutOfMemory, "timeout": TimedOut, "worker_lost": WorkerLost,
    "worker_crashed": WorkerLost,
}  # fmt: skip


def refusal(problem: Problem) -> ApiError:
    """The error for a problem document."""
    kind = TooLarge if problem.code == "too_large" else _BY_STATUS.get(problem.status, ApiError)
    return kind(problem)


def failure(experiment: Experiment) -> ExperimentFailed:
    """The error for an experiment that ended without a result."""
    if experiment.status == "cancelled":
        return ExperimentCancelled(experiment)
    code = "" if experiment.error is None else experiment.error.code
    return _BY_CODE.get(code, ExperimentFailed)(experiment)
