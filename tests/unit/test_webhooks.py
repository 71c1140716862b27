"""Which addresses may be told, what they are told, and that it goes on until they have it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kanad_server import clock, notifier, webhooks
from kanad_server.engines.desk import Desk
from kanad_server.errors import Impossible, StartRefused
from kanad_server.intake import Intake
from kanad_server.notifier import Notifier, pause_after
from kanad_server.store import Commit, Notification, SqliteStore
from kanad_server.testing import spec
from kanad_server.webhooks import Allowed, Blocked, origin_of
from kanad_server.wire import Experiment, Percentage
from kanad_solvers.spec import Notify, spec_hash
from tests.support.receiver import Receiver

SECRET = "a secret of the tests"  # noqa: S105


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/hook?x=1", "https://a.example:443"),
        ("HTTP://A.Example:80/", "http://a.example:80"),
        ("https://a.example.:443", "https://a.example:443"),
        ("http://[::1]:9000/x", "http://[::1]:9000"),
    ],
)
def test_an_origin_has_one_form(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "https://", "//a.example", "https://user:word@a.example/",
        "https://a.example:99999/", "https://a.example\\@b.example/", "https://a.example/\r\nX: y", "https://ä.example",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|blanks|Port"):
        origin_of(url)
    assert Allowed(["https://a.example"], []).problem(url)


def leading_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def found(self: object, host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104
        "::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_blocked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    leading_to(monkeypatch, "93.184.216.34", address)
    with pytest.raises(Blocked, match="not public"):
        await Allowed(["https://a.example"], []).resolve("https://a.example/hook")


async def test_a_listed_network_and_a_listed_address_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    leading_to(monkeypatch, "10.1.2.3")
    allowed = Allowed(["https://a.example", "http://127.0.0.1:9000"], ["10.0.0.0/8"])
    assert (await allowed.resolve("https://a.example/hook"))[1] == "10.1.2.3"
    assert (await allowed.resolve("http://127.0.0.1:9000/"))[1] == "127.0.0.1"
    for other in ("http://127.0.0.1:9001/", "http://a.example/", "https://b.example/", "http://2130706433:9000/"):
        with pytest.raises(Blocked):
            await allowed.resolve(other)


def test_bad_settings_stop_the_start(tmp_path: Path) -> None:
    for origins, networks in ((["a.example"], []), (["https://a.example/path"], []), ([], ["10.0.0.1/8"])):
        with pytest.raises(StartRefused, match="KANAD_NOTIFY"):
            Allowed(origins, networks)
    with pytest.raises(StartRefused, match="at least 16"):
        webhooks.secret_of("short", tmp_path)
    made = webhooks.secret_of("", tmp_path)
    assert len(made) >= 32
    assert webhooks.secret_of("", tmp_path) == made
    assert (tmp_path / "notify.secret").stat().st_mode & 0o777 == 0o600


def test_a_start_that_was_killed_leaves_no_empty_secret(tmp_path: Path) -> None:
    (tmp_path / "notify.secret").touch()
    made = webhooks.secret_of("", tmp_path)
    assert len(made) >= 32
    assert webhooks.secret_of("", tmp_path) == made


async def test_notices_are_refused_where_they_are_off_or_elsewhere(tmp_path: Path) -> None:
    asked = spec(notify=(Notify(url="https://b.example/"),))
    for allowed, words in ((None, "sends no notifications"), (Allowed(["https://a.example"], []), "does not notify")):
        intake = Intake(Desk(tmp_path), enable_probe=True, allowed=allowed)
        with pytest.raises(Impossible, match=words) as caught:
            await intake.prepare(asked)
        assert [error.path for error in caught.value.errors] == ["$.notify[0].url"]


def test_whom_to_tell_is_no_part_of_the_work() -> None:
    assert spec_hash(spec(notify=(Notify(url="https://b.example/"),))) == spec_hash(spec())


def ended(url: str) -> Experiment:
    return Experiment(
        id=clock.new_id(), name="n", tags=(), priority=0, status="completed", spec=spec(notify=(Notify(url=url),)),
        spec_hash="h", attempt=1, progress=Percentage(), last_seq=3, created_at=clock.now(), energy_hartree=-1.5,
    )  # fmt: skip


async def arrived(store: SqliteStore, url: str, sender: Notifier, *, within_s: float = 20) -> None:
    """Run the notifier until nothing is left for the receiver."""
    running = asyncio.create_task(sender.run())
    try:
        async with asyncio.timeout(within_s):
            while await store.due_notifications(origin_of(url), time.time() + 1e6, 1) != ([], None):
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notifier, "LONGEST_PAUSE_S", 0.05)


async def test_a_notice_is_signed_and_tried_until_it_arrives(tmp_path: Path, impatient: None) -> None:
    answers = iter([500, 302, 404, 204])
    with Receiver(lambda _: next(answers)) as receiver:
        async with SqliteStore(tmp_path / "db") as store:
            sender = Notifier(store, Allowed([receiver.url], []), SECRET)
            experiment = ended(f"{receiver.url}/hook?key=1")
            await store.commit(Commit(notifications=webhooks.notifications(experiment, time.time())))
            await arrived(store, receiver.url, sender)
    assert [told.path for told in receiver.told] == ["/hook?key=1"] * 4  # no redirect was followed
    assert len({(told.headers["Kanad-Delivery"], told.body) for told in receiver.told}) == 1
    assert (sender.sent, sender.failed) == (1, 3)
    last = receiver.told[-1]
    signed = f"{last.headers['Kanad-Timestamp']}.{last.body}".encode()
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert last.headers["Kanad-Signature"] == f"v1={expected}"
    assert abs(int(last.headers["Kanad-Timestamp"]) - time.time()) < 60
    notice = json.loads(last.body)
    assert (notice["type"], notice["experiment_id"], notice["status"]) == ("ended", experiment.id, "completed")
    assert notice["energy_hartree"] == -1.5


async def test_one_deaf_receiver_does_not_hold_up_another(tmp_path: Path, impatient: None) -> None:
    with Receiver() as hears, socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with SqliteStore(tmp_path / "db") as store:
            told = [webhooks.notifications(ended(url), time.time())[0] for url in (silent, hears.url)]
            await store.commit(Commit(notifications=told))
            await arrived(store, hears.url, Notifier(store, Allowed([silent, hears.url], []), SECRET))
    assert len(hears.told) == 1


async def test_what_was_tried_for_days_is_given_up(tmp_path: Path, impatient: None) -> None:
    async with SqliteStore(tmp_path / "db") as store:
        url = "http://127.0.0.1:9"
        (one,) = webhooks.notifications(ended(url), time.time())
        old = replace(one, created_at=time.time() - notifier.KEPT_S - 1)
        await store.commit(Commit(notifications=[old]))
        sender = Notifier(store, Allowed([url], []), SECRET)
        await arrived(store, url, sender)
    assert (sender.sent, sender.dropped) == (0, 1)


def test_pauses_double_up_to_an_hour() -> None:
    assert pause_after(0) <= 2
    assert 6 <= pause_after(2) <= 8
    assert 2_700 <= pause_after(500) <= 3_600


async def test_the_store_tells_what_is_due_and_when_the_next_one_is(tmp_path: Path) -> None:
    def one(name: str, due_at: float) -> Notification:
        return Notification(id=name, url="u", origin="o", body="b", created_at=0.0, due_at=due_at)

    async with SqliteStore(tmp_path / "db") as store:
        await store.commit(Commit(notifications=[one("later", 20.0), one("now", 5.0), one("first", 1.0)]))
        assert await store.waiting_notifications() == 3
        due, next_at = await store.due_notifications("o", 10.0, 4)
        assert ([found.id for found in due], next_at) == (["first", "now"], 20.0)
        await store.postpone_notification("now", 1, 30.0)
        await store.forget_notification("first")
        assert await store.due_notifications("o", 10.0, 4) == ([], 20.0)
        assert await store.due_notifications("other", 10.0, 4) == ([], None)
