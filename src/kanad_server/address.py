"""What a server's address is; for the client, `kanad load` and the command line."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def parse(url: str) -> SplitResult:
    """The parts of a server's address: ``http://HOST:PORT`` or ``https://HOST:PORT``, and a path where a proxy has one.

    Raises:
        ValueError: it is none; says the rule and the value.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError as error:
        raise ValueError(f"{_RULE}, got {url!r}: {error}") from None
    if (
        not usable
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or any(letter.isspace() for letter in url)
    ):
        raise ValueError(f"{_RULE}, got {url!r}")
    return parts


_RULE = "must be http://HOST:PORT or https://HOST:PORT"
