"""Peers over real sockets and the server's own kind of loop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from kanad_server.peer import PING, Peer


def test_writing_after_the_last_word_was_said_is_no_fault_of_the_servers() -> None:
    async def check() -> None:
        served: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

        def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.set_result(Peer(writer))
            writer.write_eof()  # as when a client that still sends is sent away

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            peer = await served
            peer.beat(PING)
            assert not peer.write(b"frame")
            assert not peer.may_write
            with pytest.raises(ConnectionResetError, match="gone"):
                await peer.clear()
            peer.abort()
            writer.close()

    uvloop.run(check())
