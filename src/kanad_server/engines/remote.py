"""What server and cluster say to each other: plain data in MessagePack, decoded against these types.

Every message of an attempt has a number, 1, 2, 3, ...; a batch says that of its first one. So a batch that comes twice,
late or not at all is seen, and the scheduler's own log of events fills what a broken connection has swallowed.
"""

from __future__ import annotations

import msgspec

from kanad_server.wire import Error
from kanad_solvers.spec import Spec

MAX_BATCH_BYTES = 64 * 1024
"""A batch is sent when it has more; one message alone may be larger."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_ORBITALS_BYTES = 256 * 1024 * 1024
"""Larger ones are left behind: files made of them will be missing."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, for a worker of the cluster. `run` names this execution of it, and no other."""

    run: str
    topic: str
    experiment_id: str
    attempt: int
    spec: Spec
    directory: str | None = None
    checkpoint_s: float = 5.0
    local_directory: str = ""
    """That of the worker which was meant: another one that has its address now does not run it."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one run in order, each as its solver wrote it; and what its process takes, now and then."""

    run: str
    first: int
    messages: tuple[bytes, ...] = ()
    pid: int | None = None
    cpu_s: float | None = None
    memory_mb: float | None = None
    is_over: bool = False
    """The process has ended, or is free for another attempt."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: with its solver's end marker, or by its process's death; `count` messages came before."""

    run: str
    count: int
    end: bytes | None = None
    death: Error | None = None
    orbitals: bytes | None = None


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of the cluster, as it describes itself; `faults` are what keeps it from running attempts.

    It runs as many attempts at once as it has `slots`, which share its memory and its threads.
    """

    versions: dict[str, str]
    slots: int
    memory_mb: int
    threads: int
    faults: tuple[str, ...] = ()
    local_directory: str = ""
    """No two workers have had the same, while an address may have had many."""


encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
decode_ended = msgspec.msgpack.Decoder(Ended).decode
decode_description = msgspec.msgpack.Decoder(Description).decode
