"""Frames through a pipe: whole or absent."""

from __future__ import annotations

import os
import threading

import msgspec
import pytest

from kanad_server.engines import frames, messages
from kanad_server.wire import Log


def received(messages: list[bytes], piece: int) -> list[bytes]:
    reader, writer = os.pipe()

    def write() -> None:
        for message in messages:
            frames.send(writer, message)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    assembler = frames.Assembler(10_000_000)
    got: list[bytes] = []
    while data := os.read(reader, piece):
        got += assembler.feed(data)
    thread.join()
    os.close(reader)
    return got


@pytest.mark.parametrize("piece", [1_000, 4_096, 65_536])
def test_messages_of_any_length_come_back_whole_and_in_order(piece: int) -> None:
    messages = [os.urandom(n) for n in (0, 1, 4092, 4093, 4094, 100_000, 7)]
    assert received(messages, piece) == messages


def test_no_write_is_longer_than_a_pipe_takes_at_once() -> None:
    assert os.pathconf("/", "PC_PIPE_BUF") >= frames.FRAME_BYTES


def test_a_message_that_its_writer_did_not_finish_is_not_delivered() -> None:
    reader, writer = os.pipe()
    frames.send(writer, b"whole")
    os.write(writer, b"\x0f\x00\x01" + b"first of two frames")
    os.close(writer)
    assembler = frames.Assembler(1_000)
    assert assembler.feed(os.read(reader, 1_000)) == [b"whole"]
    os.close(reader)


def test_a_length_out_of_range_is_refused() -> None:
    with pytest.raises(frames.BrokenFrame, match="65535 bytes"):
        frames.Assembler(10).feed(b"\xff\xff\x00")


def test_a_message_above_the_maximum_is_refused() -> None:
    with pytest.raises(frames.BrokenFrame, match="more than 10 bytes"):
        frames.Assembler(10).feed(b"\x00\x0b\x00" + b"x" * 11)


def test_only_a_result_may_be_longer_than_reports_are() -> None:
    text = "x" * messages.MAX_REPORT_BYTES
    with pytest.raises(msgspec.ValidationError):
        messages.decode(messages.encode(messages.Report(Log(message=text))))
    result = messages.Completed(-1.0, msgspec.Raw(messages.encode(text)))
    assert isinstance(messages.decode(messages.encode(result)), messages.Completed)
