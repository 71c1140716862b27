"""Headers that every answer has, whoever writes it; one that sets such a header itself keeps its own."""

from __future__ import annotations

from collections.abc import Iterable

SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'",
}


def secured(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`headers`, and those of `SECURITY` that are not among them."""
    given = list(headers)
    present = {name.lower() for name, _ in given}
    return given + [(name, value) for name, value in SECURITY.items() if name not in present]
