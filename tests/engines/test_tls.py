"""A cluster that speaks TLS: certificates on both sides, or no connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.cluster import PRELOAD, Cluster
from tests.engines.conftest import Serve, engine_of
from tests.support.server import H2_ATOMS, Server, probe, wait_for

pytestmark = [pytest.mark.dask, pytest.mark.timeout(120)]
SETTINGS = ("KANAD_CLUSTER_CA_FILE", "KANAD_CLUSTER_CERTFILE", "KANAD_CLUSTER_KEYFILE")


class Paper:
    """A certificate authority of the test's own, and one certificate by it."""

    def __init__(self, folder: Path) -> None:
        import trustme

        folder.mkdir()
        self.files = tuple(str(folder / name) for name in ("ca.pem", "host.pem", "host.key"))
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(self.files[0])
        own.cert_chain_pems[0].write_to_path(self.files[1])
        own.private_key_pem.write_to_path(self.files[2])

    @property
    def options(self) -> list[str]:
        """As Dask's commands take it."""
        names = ("--tls-ca-file", "--tls-cert", "--tls-key")
        return [word for pair in zip(names, self.files, strict=True) for word in pair]

    @property
    def settings(self) -> dict[str, str]:
        """As the server takes it."""
        return dict(zip(SETTINGS, self.files, strict=True))


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "paper")


@pytest.fixture
def closed(tmp_path: Path, paper: Paper) -> Iterator[Cluster]:
    """A scheduler and a worker that know each other by their certificates."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(folder, *paper.options, protocol="tls") as running:
        running.add_worker(*PRELOAD)
        yield running


def test_an_experiment_runs_and_who_has_no_certificate_of_the_authority_is_refused(
    closed: Cluster, paper: Paper, tmp_path: Path, serve: Serve
) -> None:
    server = serve(closed.engine, slots=1, **paper.settings)
    spec = {"molecule": {"atoms": H2_ATOMS}, "method": {"name": "hf"}}
    ended = server.ended(server.post(spec)["id"])
    assert ended["energy_hartree"] == pytest.approx(-1.11668439, abs=1e-7)  # PySCF
    for settings in ({}, Paper(tmp_path / "strange").settings):
        check_refused(serve(closed.engine, slots=0, **settings))
    assert engine_of(server)["state"] == "up"


def check_refused(stranger: Server) -> None:
    waiting = stranger.post(probe(steps=1))["id"]
    wait_for(lambda: "not answered yet" not in engine_of(stranger)["notes"][0], "a refusal", 60)
    assert (engine_of(stranger)["state"], stranger.system()["slots"]) == ("down", [])
    assert stranger.get(waiting)["status"] == "queued"
