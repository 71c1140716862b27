"""The errors of the server.

    KanadError
    +-- Refused            the request cannot be met as it stands
    |   +-- Malformed          400  the body is not what was announced
    |   +-- Unauthorized       401  no token, or none that is good
    |   +-- NotFound           404  there is no such experiment (or route)
    |   +-- Conflict           409  the experiment's state, or an idempotency key, does not allow it
    |   +-- BodyTooLarge       413  more bytes than the limit
    |   +-- NotJson            415  another content type
    |   +-- Impossible         422  understood, but it cannot be computed (invalid_spec, too_large)
    |   +-- Forbidden          403  this Host or Origin is not served, or the person's role does not allow it
    |   +-- TooMany            429  too often; try again later (Retry-After)
    +-- Unavailable        503  the server cannot do it now; try again (Retry-After)
    +-- StartRefused       the server does not start: data directory in use, damaged or newer, unsafe address

Each carries a stable ``code``; HTTP answers, the event log, the client and the command line show the same
``{code, message, details}``. What a solver raises has its own tree in `kanad_solvers.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kanad_solvers.errors import FieldError


class KanadError(Exception):
    """Root of the errors of this package."""

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details


class Refused(KanadError):
    """A request that cannot be met as it stands; `status` is its HTTP status."""

    status = 400

    def __init__(self, code: str, message: str, *, errors: Sequence[FieldError] = (), **details: object) -> None:
        super().__init__(code, message, **details)
        self.errors = tuple(errors)


class Malformed(Refused):
    """400: the bytes are not JSON, or a query parameter is not a number."""


class Unauthorized(Refused):
    """401: no token, or none that is good."""

    status = 401


class Forbidden(Refused):
    """403: this Host or Origin is not served, or the person's role does not allow it."""

    status = 403


class NotFound(Refused):
    """404: there is no such thing."""

    status = 404


def no_experiment(experiment_id: str) -> NotFound:
    """The 404 for an experiment."""
    return NotFound("not_found", f"there is no experiment {experiment_id[:100]!r}")


class Conflict(Refused):
    """409: what is asked does not fit the present state."""

    status = 409


class BodyTooLarge(Refused):
    """413: the body has more bytes than the limit."""

    status = 413


class NotJson(Refused):
    """415: the content type is not application/json."""

    status = 415


class Impossible(Refused):
    """422: understood, but it cannot be computed."""

    status = 422


class TooMany(Refused):
    """429: asked too often; `retry_after_s` says when to try again."""

    status = 429

    def __init__(self, code: str, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Unavailable(KanadError):
    """503: not now; `retry_after_s` says when to try again."""

    def __init__(self, code: str, message: str, *, retry_after_s: int = 5, **details: object) -> None:
        super().__init__(code, message, **details)
        self.retry_after_s = retry_after_s


class StartRefused(KanadError):
    """The server does not start; the message says what to do."""
