"""A QCEngine program that computes on a server. Needs the package qcengine.

``register(SyncClient(url))``, and ``qcengine.compute(atomic_input, "kanad")`` works.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import qcengine
from qcelemental.models.v2 import AtomicInput, AtomicResult
from qcengine.config import TaskConfig
from qcengine.exceptions import InputError, UnknownError
from qcengine.programs import ProgramHarness

from kanad_server import __version__
from kanad_server.client.errors import ClientError, InvalidInput
from kanad_server.client.sync import SyncClient
from kanad_solvers import qcschema
from kanad_solvers.errors import InvalidSpec


class KanadHarness(ProgramHarness):  # type: ignore[misc]  # qcengine is untyped
    """kanad-server as QCEngine sees it."""

    _defaults: ClassVar[dict[str, Any]] = {
        "name": "kanad", "scratch": False, "thread_safe": True, "thread_parallel": False, "node_parallel": False,
        "managed_memory": False,
    }  # fmt: skip
    _client: ClassVar[SyncClient | None] = None

    @staticmethod
    def found(raise_error: bool = False) -> bool:
        """Always: the server is asked when something is computed."""
        return True

    def get_version(self) -> str:
        """The client's version."""
        return __version__

    def compute(self, input_data: AtomicInput, config: TaskConfig) -> AtomicResult:
        """The result of an `AtomicInput`.

        Raises:
            InputError: it cannot be computed as it stands.
            UnknownError: the experiment failed, or no server answers.
        """
        assert KanadHarness._client is not None, "call register first"
        try:
            run = KanadHarness._client.submit(qcschema.spec_of(json.loads(input_data.model_dump_json())))
            run.result()
            found = json.loads(KanadHarness._client.artifact(run.id, "qcschema.json"))
        except (InvalidSpec, InvalidInput) as error:
            raise InputError(str(error)) from error
        except ClientError as error:
            raise UnknownError(str(error)) from error
        driver = input_data.specification.driver
        if driver == "properties":
            found["return_result"] = found["properties"]
        return AtomicResult(**(found | {"input_data": input_data}))


def register(client: SyncClient) -> None:
    """Make ``qcengine.compute(..., "kanad")`` compute on the server of `client`; a second call changes the client."""
    KanadHarness._client = client
    if "kanad" not in qcengine.list_all_programs():
        qcengine.register_program(KanadHarness())
