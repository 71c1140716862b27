"""Programs with tokens: whose work is whose, over calls and streams alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from kanad_server.client import Client, NotAllowed, NotFound, SyncClient
from tests.acceptance.test_command_line import kanad
from tests.support.people import token_for
from tests.support.server import Server, probe


async def test_clients_with_tokens_see_their_own_and_nobody_elses(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        ada, bob = token_for(server, "ada"), token_for(server, "bob")
        viewer = token_for(server, "vera", "viewer")
        async with Client(server.url, ada) as client:
            run = await client.submit(probe(steps=5, name="ada's"))
            assert [event.seq async for event in run.events()] == list(range(1, (await run.ended()).last_seq + 1))
            assert (await run.result()).converged
            assert run.experiment.owner == "ada"
            assert [found.id async for found in client.experiments()] == [run.id]
        async with Client(server.url, bob) as client:
            assert [found.id async for found in client.experiments()] == []
            with pytest.raises(NotFound):
                await client.result(run.id)
            with pytest.raises(NotFound):
                await anext(client.events(run.id))
        for token in (None, "kanad_wrong"):
            async with Client(server.url, token) as client:
                with pytest.raises(NotAllowed) as caught:
                    await client.system()
                assert caught.value.code in ("token_needed", "invalid_token")
                with pytest.raises(NotAllowed):
                    await anext(client.events(run.id))
        with SyncClient(server.url, viewer) as client, pytest.raises(NotAllowed) as caught:
            client.submit(probe(steps=1))
        assert caught.value.code == "not_allowed"
        assert run.id in kanad("ls", "--token", ada, url=server.url).stdout
    finally:
        server.stop()
