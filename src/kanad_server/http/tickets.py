"""Single-use tickets: a browser cannot set a header on a WebSocket or an event source, and no token goes into a URL."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from kanad_server.gate import TICKET_S
from kanad_server.http.body import answer
from kanad_server.http.experiments import person_of, service_of
from kanad_server.wire import Ticket


async def issue(request: Request) -> Response:
    """A ticket for whoever asks, to be used once as ``?ticket=`` on a stream: 201."""
    word = service_of(request).gate.ticket(person_of(request))
    return answer(Ticket(ticket=word, expires_in_s=TICKET_S), 201)
