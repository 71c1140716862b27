"""All settings in one frozen struct; the only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kanad_server import wording
from kanad_server.errors import StartRefused

EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # to tell it from a name
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server can be told. Each field is also an environment variable: ``KANAD_PORT`` for ``port``."""

    host: str = "127.0.0.1"
    allowed_hosts: str = ""
    allowed_origins: str = ""
    certfile: str = ""
    keyfile: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    data_dir: str = "kanad-data"
    slots: Annotated[int, Meta(ge=1, le=1024)] = msgspec.field(default_factory=_cores)
    engine: str = "local"
    cluster_ca_file: str = ""
    cluster_certfile: str = ""
    cluster_keyfile: str = ""
    cluster_dir: str = ""
    local_up_to_s: Annotated[float, Meta(ge=0)] = 60.0
    enable_probe: bool = False
    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 2
    max_waiting: Annotated[int, Meta(ge=1)] = 100_000
    max_waiting_per_person: Annotated[int, Meta(ge=1)] = 10_000
    max_viewers: Annotated[int, Meta(ge=1)] = 5_000
    max_connections: Annotated[int, Meta(ge=16)] = 10_000
    max_connections_each: Annotated[int, Meta(ge=8)] = 6_000
    max_header_bytes: Annotated[int, Meta(ge=1024, le=1024 * 1024)] = 16 * 1024
    header_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    body_s: Annotated[float, Meta(gt=0, le=600)] = 15.0
    idle_s: Annotated[float, Meta(gt=0, le=3_600)] = 60.0
    max_viewers_each: Annotated[int, Meta(ge=1)] = 2_000
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 4 * 1024 * 1024
    stalled_s: Annotated[float, Meta(gt=0, le=600)] = 7.0
    beat_s: Annotated[float, Meta(gt=0, le=600)] = 8.0
    silent_s: Annotated[float, Meta(gt=0, le=3_600)] = 20.0
    checkpoint_s: Annotated[float, Meta(ge=0, le=86_400)] = 5.0
    drain_s: Annotated[float, Meta(gt=0, le=60)] = 3.0
    keep_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    log_level: str = "info"
    notify_origins: str = ""
    notify_networks: str = ""
    notify_secret: str = ""

    @property
    def data_path(self) -> Path:
        """The data directory as a path."""
        return Path(self.data_dir)

    @property
    def scratch_path(self) -> Path:
        """Where workers have their working directories; emptied at every start."""
        return self.data_path.absolute() / "scratch"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", self.host) is not None

    @property
    def served_hosts(self) -> frozenset[str]:
        """The names that a request's ``Host`` may have, without port and in small letters."""
        own = set() if self.host in EVERY_ADDRESS else {self.host.lower()}
        return LOCAL_NAMES | own | set(_listed(self.allowed_hosts.lower()))

    @property
    def served_origins(self) -> frozenset[str]:
        """The origins, beside the server's own, whose pages may use it."""
        return frozenset(_listed(self.allowed_origins))

    @property
    def notified_origins(self) -> list[str]:
        """The origins whose webhooks may be told."""
        return _listed(self.notify_origins)

    @property
    def notified_networks(self) -> list[str]:
        """The networks, beside the public ones, that their names may lead to."""
        return _listed(self.notify_networks)

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted by the server itself."""
        return self.certfile != ""


def _listed(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def read_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from defaults, ``KANAD_*`` variables, and `overrides` that are not None, the last one winning.

    Raises:
        StartRefused: a value breaks a rule; the message names the setting.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(f"KANAD_{field.name.upper()}")
        if text is not None:
            values[field.name] = text
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        path, rule = wording.of(error, Settings, values)
        name = path.removeprefix("$.")
        words = f"{name} (KANAD_{name.upper()}) {rule}, got {values.get(name)!r}"
        raise StartRefused("invalid_settings", f"settings: {words}") from error
