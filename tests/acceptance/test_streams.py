"""Streams over real sockets: many experiments on one, both encodings, what is refused, and who is sent away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.server import Server, probe

MANY = "/api/v1/stream"
StartServer = Callable[..., Server]


def opened(server: Server, path: str = MANY, protocol: str | None = None) -> ClientConnection:
    offered = None if protocol is None else [Subprotocol(protocol)]
    return connect(server.url.replace("http", "ws", 1) + path, proxy=None, subprotocols=offered)


def said(socket: ClientConnection, **op: Any) -> None:
    socket.send(json.dumps(op))


def heard(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    """What comes, one message after the other, whether alone or in arrays."""
    while True:
        frame = json.loads(socket.recv(timeout=20))
        yield from frame if isinstance(frame, list) else [frame]


def until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """Everything up to the first message of a type."""
    seen = []
    for message in heard(socket):
        seen.append(message)
        if message["type"] == kind:
            return seen
    raise AssertionError(kind)


def events_of(messages: list[dict[str, Any]], experiment_id: str) -> list[dict[str, Any]]:
    return [message for message in messages if "seq" in message and message["experiment_id"] == experiment_id]


def test_two_experiments_on_one_socket_each_once_and_to_the_end(server: Server) -> None:
    first, second = (server.post(probe(steps=30, step_ms=5))["id"] for _ in range(2))
    messages: list[dict[str, Any]] = []
    with opened(server) as socket:
        said(socket, op="subscribe", id=first)
        said(socket, op="subscribe", id=second)
        while sum(message["type"] == "end" for message in messages) < 2:
            messages += until(socket, "end")
    for experiment_id in (first, second):
        assert events_of(messages, experiment_id) == server.events(experiment_id)


def test_a_subscription_begins_behind_after(server: Server) -> None:
    experiment_id = server.post(probe(steps=5))["id"]
    server.ended(experiment_id)
    with opened(server) as socket:
        said(socket, op="subscribe", id=experiment_id, after=3)
        messages = until(socket, "end")
    assert [event["seq"] for event in events_of(messages, experiment_id)] == [
        event["seq"] for event in server.events(experiment_id)[3:]
    ]


def test_a_watcher_sees_the_newest_state_of_every_experiment(server: Server) -> None:
    with opened(server) as socket:
        said(socket, op="watch", status="*")
        until(socket, "watching")
        experiment_id = server.post(probe(steps=3))["id"]
        for message in heard(socket):
            if message.get("experiment_id") == experiment_id and message["status"] == "completed":
                break
    assert message["type"] == "summary"
    assert message["method"] == "probe"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nonsense", "malformed_op"),
        ('{"op":"dance"}', "unknown_op"),
        ('{"op":"subscribe"}', "invalid_op"),
        ('{"op":"subscribe","id":"x","colour":1}', "invalid_op"),
        ('{"op":"subscribe","id":"no-such-experiment"}', "not_found"),
        ('{"op":"unsubscribe","id":"no-such-experiment"}', "not_subscribed"),
    ],
)
def test_a_bad_op_is_answered_and_the_stream_goes_on(server: Server, text: str, code: str) -> None:
    with opened(server) as socket:
        socket.send(text)
        assert next(heard(socket))["code"] == code
        said(socket, op="ping")
        assert next(heard(socket)) == {"type": "pong"}


def test_after_beyond_the_end_and_binary_on_a_text_stream_are_told(server: Server) -> None:
    experiment_id = server.post(probe(steps=1))["id"]
    server.ended(experiment_id)
    with opened(server) as socket:
        said(socket, op="subscribe", id=experiment_id, after=10_000)
        assert next(heard(socket))["code"] == "invalid_after"
        socket.send(b'{"op":"ping"}')
        assert next(heard(socket))["code"] == "binary_message"


def closed(socket: ClientConnection) -> int:
    """The code that the server closes with."""
    try:
        while True:
            socket.recv(timeout=20)
    except ConnectionClosed as end:
        return 1006 if end.rcvd is None else end.rcvd.code


def test_a_message_above_the_limit_closes_1009(server: Server) -> None:
    with opened(server) as socket:
        socket.send("x" * (64 * 1024 + 1))
        assert closed(socket) == 1009


def test_a_client_that_talks_too_much_is_sent_away_and_others_stay(server: Server) -> None:
    with opened(server) as quiet:
        with opened(server) as loud:
            with suppress(ConnectionClosed):
                for _ in range(5_000):
                    loud.send('{"op":"ping"}')
            assert closed(loud) in (1008, 1006)  # 1006: cut while it was still talking
        said(quiet, op="ping")
        assert next(heard(quiet)) == {"type": "pong"}


def test_a_log_that_cannot_be_read_closes_1011_and_others_stay(start_server: StartServer) -> None:
    server = start_server("--slots", "1")
    experiment_id = server.post(probe(steps=3))["id"]
    server.ended(experiment_id)
    with closing(sqlite3.connect(server.data / "kanad.sqlite")) as damaged, damaged:
        damaged.execute("UPDATE events SET body = 'no event' WHERE seq = 2")
    with opened(server) as other:
        with opened(server, f"/api/v1/experiments/{experiment_id}/stream", "kanad.v1.msgpack") as socket:
            assert closed(socket) == 1011
        said(other, op="ping")
        assert next(heard(other)) == {"type": "pong"}
    assert "viewer failed" in server.log()


def test_messagepack_says_the_same_as_json(server: Server) -> None:
    experiment_id = server.post(probe(steps=20))["id"]
    events: list[Any] = []
    with opened(server, f"/api/v1/experiments/{experiment_id}/stream", "kanad.v1.msgpack") as socket:
        assert socket.subprotocol == "kanad.v1.msgpack"
        for data in socket:  # ends at close code 1000, raises at any other
            assert isinstance(data, bytes)
            frame = msgspec.msgpack.decode(data)
            events += frame if isinstance(frame, list) else [frame]
    assert events == server.events(experiment_id)


def test_compression_is_declined(server: Server) -> None:
    """The client of the websockets library offers permessage-deflate unasked."""
    with opened(server) as socket:
        assert socket.request is not None
        assert "Sec-WebSocket-Extensions" in socket.request.headers
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
