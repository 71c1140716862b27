"""People with tokens, as a test makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from kanad_server import tokens
from tests.support.server import Server, wait_for


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def token_for(server: Server, name: str, role: str = "user") -> str:
    """A token made beside the running server, which has noticed it."""
    token, _ = tokens.create(server.data, name=name, role=role)
    system = f"{server.url}/api/v1/system"
    wait_for(
        lambda: (
            httpx.get(system, trust_env=False).status_code == 401
            and httpx.get(system, headers=bearer(token), trust_env=False).status_code == 200
        ),
        "the server to notice the token",
    )
    return token


@contextmanager
def client(server: Server, token: str | None, source: str = "127.0.0.1") -> Iterator[httpx.Client]:
    """HTTP as the bearer of `token`, from an address of this machine."""
    headers = {} if token is None else bearer(token)
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(base_url=server.url, headers=headers, timeout=30.0, transport=transport) as http:
        yield http
