"""More than the server can take: refused early and cheaply, while who behaves is served."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Any

import pytest

from tests.faults import figures
from tests.faults.asker import Asker
from tests.faults.scale import count, within
from tests.faults.world import API, World, percentile, probe
from tests.support.people import bearer, token_for
from tests.support.server import ENDED, wait_for

MakeWorld = Callable[..., World]


# R18: overload


class Poster:
    """Posts on one connection at a steady pace, refused or not."""

    def __init__(self, port: int, token: str, spec: dict[str, Any], pace_s: float) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self._body = json.dumps(spec)
        self._pace_s = pace_s
        self.statuses: Counter[int] = Counter()
        self.times: list[float] = []
        self.accepted: list[str] = []
        self.resets = self.without_retry_after = 0

    def post_until(self, end: float) -> None:
        """Post, one every `pace_s`."""
        due = time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            due += self._pace_s
            self.post()

    def post(self) -> int:
        """Post one; returns the status, 0 for a line that was cut."""
        began = time.monotonic()
        try:
            self._line.request("POST", API, body=self._body, headers=self._headers)
            answer = self._line.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._line.close()
            self.resets += 1
            return 0
        self.times.append(time.monotonic() - began)
        self.statuses[answer.status] += 1
        if answer.status == 201:
            self.accepted.append(json.loads(body)["id"])
        elif answer.headers["Retry-After"] is None:
            self.without_retry_after += 1
        return answer.status


@pytest.mark.slow
def test_r18_overload(make_world: MakeWorld) -> None:
    """Five hundred posts a second against a line of a thousand: 429 and 503, fast, and a quiet person gets a turn."""
    limits = {"KANAD_MAX_WAITING": "1000", "KANAD_MAX_WAITING_PER_PERSON": "100"}
    world = make_world("--slots", "2", scenario="R18", environment=limits)
    names = [f"p{n}" for n in range(12)]
    tokens = {name: token_for(world.server, name) for name in [*names, "quiet"]}
    seconds, job_s = count(30, 6), 0.2
    spec = probe(steps=20, step_ms=job_s * 1000 / 20)
    posters = [Poster(world.port, tokens[names[max(0, n - 14) % 12]], spec, 50 / 500) for n in range(50)]
    before = world.holds()
    end = time.monotonic() + seconds
    with Asker(world.port) as asker:
        world.in_threads(lambda poster: poster.post_until(end), posters, len(posters))
        grown = world.holds().rss_mb - before.rss_mb
    refused = sum((poster.statuses for poster in posters), Counter[int]())
    times = [took for poster in posters for took in poster.times]
    accepted = [name for poster in posters for name in poster.accepted]
    admin = bearer(token_for(world.server, "root", "admin"))
    for name in accepted:  # what waits is cancelled: two slots would need minutes
        world.server.http.post(f"{API}/{name}/cancel", headers=admin)
    wait_for(lambda: _all_ended(world, accepted, admin), "everything accepted to end", 120)
    starts = _starts_of_the_quiet(world, tokens, spec, job_s)
    figures.record(
        "R18", "500 posts a second against a line of 1000", posts_per_s=len(times) / seconds,
        accepted=refused[201], told_429=refused[429], told_503=refused[503], resets=sum(p.resets for p in posters),
        answer_s_p99=percentile(times, 0.99), live_s_p99=percentile(asker.times, 0.99), overload_mb=grown,
        quiet_waits_jobs_max=max(starts) / job_s,
    )  # fmt: skip
    assert set(refused) <= {201, 429, 503}
    assert min(refused[429], refused[503]) > 0
    assert sum(poster.resets + poster.without_retry_after for poster in posters) == 0
    assert asker.failures == []
    assert percentile(times, 0.99) <= within(1.0)
    assert percentile(asker.times, 0.99) <= within(0.1)
    assert max(starts) <= within(2 * job_s)
    assert grown <= 50
    assert world.server.stop() == 0


def _all_ended(world: World, ids: list[str], headers: dict[str, str]) -> bool:
    return all(world.server.http.get(f"{API}/{name}", headers=headers).json()["status"] in ENDED for name in ids)


def _starts_of_the_quiet(world: World, tokens: dict[str, str], spec: dict[str, Any], job_s: float) -> list[float]:
    """How long a person's single experiments wait while another one has a hundred in the line."""
    loud = Poster(world.port, tokens["p0"], spec, 0.0)
    for _ in range(100):
        loud.post()
    quiet = bearer(tokens["quiet"])
    waits = []
    for _ in range(3):
        name = world.server.http.post(API, json=spec, headers=quiet).json()["id"]

        def ended(name: str = name) -> dict[str, Any] | None:
            shown = world.server.http.get(f"{API}/{name}", headers=quiet).json()
            return dict(shown) if shown["status"] in ENDED else None

        shown = wait_for(ended, "the quiet one's experiment to end", 60)
        waits.append(_between(shown["created_at"], shown["started_at"]))
    return waits


def _between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


# R19: idempotency


def test_r19_keys(make_world: MakeWorld) -> None:
    """One key, twenty posts at once, answers cut off, a killed server, another body: one experiment."""
    world = make_world("--slots", "2", scenario="R19")
    keys = [f"r19-{n}" for n in range(count(100, 10))]
    specs = {key: probe(steps=2, step_ms=1, name=key) for key in keys}
    first: dict[str, str] = {}
    for key in keys:
        _post_and_hang_up(world, specs[key], key)
        calls = world.in_threads(lambda k: world.call("POST", API, json=specs[k], key=k), [key] * 20, 20)
        assert {call.status for call in calls} <= {200, 201}
        first[key] = json.loads(calls[0].body)["id"]
    world.server.kill()
    world.restart()
    again = world.in_threads(lambda k: (k, world.call("POST", API, json=specs[k], key=k)), keys, 8)
    assert {call.status for _, call in again} == {200}
    assert {key: json.loads(call.body)["id"] for key, call in again} == first
    others = [world.call("POST", API, json=probe(steps=3), key=key).status for key in keys]
    assert set(others) == {409}
    stored = _all_ids(world)
    assert stored == set(first.values())
    assert len(stored) == len(keys)
    measured = world.finish()
    figures.record(
        "R19", "idempotency keys: 20 at once, cut, killed", keys=len(keys), posts=22 * len(keys),
        experiments=len(stored), other_body_409=len(others), **measured,
    )  # fmt: skip


def _post_and_hang_up(world: World, spec: dict[str, Any], key: str) -> None:
    """A post whose answer nobody hears; what it may have made belongs to the key."""
    body = json.dumps(spec, separators=(",", ":")).encode()  # byte for byte as the other posts
    with socket.create_connection(("127.0.0.1", world.port)) as line:
        line.sendall(
            f"POST {API} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(world.random.uniform(0.0, 0.02))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _all_ids(world: World) -> set[str]:
    found: set[str] = set()
    cursor = ""
    while True:
        page = world.server.http.get(f"{API}?limit=100{cursor}").json()
        found |= {item["id"] for item in page["items"]}
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


# R20: connections

OPENED_PER_S = 200
"""As fast as slowhttptest opens them."""


def test_r20_abused_connections(make_world: MakeWorld) -> None:
    """With 256 descriptors: slow heads, slow bodies, silent ones, hundreds of streams; one client behaves."""
    world = make_world("--slots", "2", scenario="R20", prefix=["prlimit", "--nofile=256:256", "--"])
    log_before = len(world.server.log())
    running = world.submit(probe(steps=100_000, step_ms=20, limits={"wall_s": 300, "memory_mb": 512}), key="running")
    world.server.running(running)
    began = time.monotonic()
    with Asker(world.port) as asker, ExitStack() as held:
        opened = _besiege(world, running, held, count(90, 18))
    siege_s = time.monotonic() - began
    grown = len(world.server.log()) - log_before
    began = time.monotonic()
    wait_for(lambda: world.holds().fds <= world.baseline.fds + 8, "the places to be free again", within(5.0))
    freed = time.monotonic() - began
    world.call("POST", f"{API}/{running}/cancel")
    measured = world.finish()
    figures.record(
        "R20", "256 descriptors: slow heads and bodies, silent ones, streams", connections=opened, siege_s=siege_s,
        healthy_asked=len(asker.times), healthy_failed=len(asker.failures),
        healthy_s_p99=percentile(asker.times, 0.99), healthy_s_max=max(asker.times), log_kb=grown / 1000,
        freed_s=freed, **measured,
    )  # fmt: skip
    assert opened >= 1_200
    assert asker.failures == []
    assert percentile(asker.times, 0.99) <= within(0.5)
    assert grown < 1_000_000


def _besiege(world: World, running: str, held: ExitStack, seconds: float) -> int:
    """Open 200 lines a second, again where they were cut, and let each say a byte a second; returns how many."""
    head = f"POST {API} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    stream = (
        f"GET {API}/{running}/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    openings = ["GET / HT"] * 200 + [head] * 200 + [""] * 300 + [stream] * 500
    world.random.shuffle(openings)
    lines: dict[int, socket.socket] = {}
    opened = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        due = time.monotonic() + 1
        missing = [number for number in range(len(openings)) if number not in lines][:OPENED_PER_S]
        for number in missing:
            with suppress(OSError):
                lines[number] = held.enter_context(socket.create_connection(("127.0.0.1", world.port), timeout=20))
                lines[number].send(openings[number].encode())
                lines[number].setblocking(False)
            time.sleep(0.5 / OPENED_PER_S)
        opened += len(missing)
        for number in [number for number, line in lines.items() if not _lives(line)]:
            lines.pop(number).close()
        time.sleep(max(0.0, due - time.monotonic()))
    return opened


def _lives(line: socket.socket) -> bool:
    """Say a byte, and hear whether the server has hung up."""
    try:
        line.send(b" ")
        while line.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
