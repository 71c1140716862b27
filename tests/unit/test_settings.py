"""Settings: defaults, variables, options, and refusals that name the setting."""

from __future__ import annotations

from typing import Any

import pytest

from kanad_server.errors import StartRefused
from kanad_server.settings import read_settings


def test_options_win_over_variables_and_variables_over_defaults() -> None:
    environment = {"KANAD_PORT": "9000", "KANAD_SLOTS": "3", "KANAD_ENABLE_PROBE": "true", "OTHER": "x"}
    settings = read_settings(environment, port=9001, host=None)
    assert (settings.port, settings.slots, settings.enable_probe, settings.host) == (9001, 3, True, "127.0.0.1")


@pytest.mark.parametrize(("name", "value"), [("port", "70000"), ("slots", "0"), ("drain_s", "-1"), ("slots", "two")])
def test_a_bad_value_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(StartRefused, match=name) as caught:
        read_settings({f"KANAD_{name.upper()}": value})
    assert caught.value.code == "invalid_settings"


@pytest.mark.parametrize(
    ("host", "is_loopback"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("", False)]
)
def test_loopback_is_known(host: str, is_loopback: bool) -> None:
    assert read_settings({}, host=host).is_loopback is is_loopback
