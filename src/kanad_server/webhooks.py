"""Webhooks: which addresses may be told, what they are told, and how they can know that it came from here.

An administrator lists origins; without any, nothing is ever sent. Of the names in them only public addresses are
called, unless a network is listed too; an origin that is a plain address names itself. The address that was checked is
the one that is called, so a name that changes its mind in between gains nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec

from kanad_server import clock
from kanad_server.datadir import kept_word
from kanad_server.errors import StartRefused
from kanad_server.store import Notification
from kanad_server.wire import Experiment, Notice
from kanad_solvers.spec import Notify, name_of

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
"""Addresses of IPv6 that a gateway turns into any of IPv4."""
PORTS = {"http": 80, "https": 443}
SIGNING_KEY_FILE = "notify.secret"
SHORTEST_SECRET = 16
_encode = msgspec.json.Encoder().encode


class Blocked(Exception):
    """An address that may not be called; the message says why."""


class Allowed:
    """The origins that may be told, and the networks that their names may lead to.

    Raises:
        StartRefused: an entry is no origin, or no network.
    """

    def __init__(self, origins: Sequence[str], networks: Sequence[str]) -> None:
        self.origins = frozenset(_listed_origin(entry) for entry in origins)
        self._networks = tuple(_listed_network(entry) for entry in networks)

    def problem(self, url: str) -> str | None:
        """Why this address is not told; None where it is."""
        if not self.origins:
            return "this server sends no notifications; its administrator can list origins in KANAD_NOTIFY_ORIGINS"
        try:
            origin = origin_of(url)
        except ValueError as error:
            return str(error)
        return None if origin in self.origins else f"this server does not notify {origin}"

    async def resolve(self, url: str) -> tuple[SplitResult, str]:
        """The parts of the address, and the one number that may be called for it.

        Raises:
            Blocked: it is not listed, or leads where it must not.
            OSError: the name is not known.
        """
        problem = self.problem(url)
        if problem is not None:
            raise Blocked(problem)
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or PORTS[parts.scheme]
        named = _address(host)
        if named is not None:
            return parts, str(named)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not self._may_call(address):
                raise Blocked(f"{host} leads to {address}, which is not public; KANAD_NOTIFY_NETWORKS can allow it")
        if not addresses:
            raise Blocked(f"{host} has no address")
        return parts, str(addresses[0])

    def _may_call(self, address: Address) -> bool:
        plain = (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
        if any(plain in network for network in self._networks if network.version == plain.version):
            return True
        if isinstance(plain, ipaddress.IPv6Address) and (plain.sixtofour or plain.teredo):
            return False
        return plain.is_global and not plain.is_multicast and not any(plain in network for network in TRANSLATED)


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, in one form.

    Raises:
        ValueError: it is no address that can be told; says why.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("an address is printable ASCII without blanks and backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not an address: {error}") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"an address is like https://example.org/hook, got {url[:60]!r}")
    if "@" in parts.netloc:
        raise ValueError("an address must not have a user name or password in it")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.rstrip('.')}:{port or PORTS[parts.scheme]}"


def _listed_origin(entry: str) -> str:
    try:
        if urlsplit(entry).path not in ("", "/"):
            raise ValueError("an origin has no path")
        return origin_of(entry)
    except ValueError as error:
        raise StartRefused("invalid_settings", f"KANAD_NOTIFY_ORIGINS: {entry}: {error}") from None


def _listed_network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise StartRefused("invalid_settings", f"KANAD_NOTIFY_NETWORKS: {error}") from None


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def notifications(experiment: Experiment, now_s: float) -> list[Notification]:
    """What is to be sent, now that the experiment has ended."""
    return [_notification(experiment, wanted, now_s) for wanted in experiment.spec.notify]


def _notification(experiment: Experiment, wanted: Notify, now_s: float) -> Notification:
    ident = clock.new_id()
    notice = Notice(
        id=ident,
        experiment_id=experiment.id,
        name=experiment.name,
        tags=experiment.tags,
        status=experiment.status,
        attempt=experiment.attempt,
        method=name_of(experiment.spec.method),
        task=name_of(experiment.spec.task),
        basis=experiment.spec.basis,
        energy_hartree=experiment.energy_hartree,
        error=experiment.error,
        finished_at=experiment.finished_at,
        campaign=experiment.campaign,
    )
    body = _encode(notice).decode()
    return Notification(
        id=ident, url=wanted.url, origin=origin_of(wanted.url), body=body, created_at=now_s, due_at=now_s
    )


def sign(secret: str, timestamp: int, body: str) -> str:
    """The signature of a notice: HMAC-SHA256 over ``<timestamp>.<body>``, in hex behind ``v1=``."""
    text = f"{timestamp}.{body}".encode()
    return f"v1={hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}"


def secret_of(setting: str, data: Path) -> str:
    """The secret of the settings, or one of the data directory's own, made the first time.

    Raises:
        StartRefused: it is too short to be one.
    """
    if setting:
        if len(setting) < SHORTEST_SECRET:
            message = f"KANAD_NOTIFY_SECRET needs at least {SHORTEST_SECRET} characters, got {len(setting)}"
            raise StartRefused("invalid_settings", message)
        return setting
    return kept_word(data, SIGNING_KEY_FILE, lambda: secrets.token_urlsafe(32))
