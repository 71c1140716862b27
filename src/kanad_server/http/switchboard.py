"""The ops of ``WS /stream``: many experiments, and summaries, on one socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, assert_never, get_args

import msgspec

from kanad_server.board import Watcher
from kanad_server.http.outlet import Outlet
from kanad_server.people import Person
from kanad_server.service import Service
from kanad_server.wire import (
    ClientOp,
    End,
    Experiment,
    OpRefused,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Watch,
    Watching,
)

MAX_SUBSCRIPTIONS = 1_000
_MAX_SHOWN = 200
_OPS = [str(op.__struct_config__.tag) for op in get_args(ClientOp)]

_from_json: Callable[[str], ClientOp] = msgspec.json.Decoder(ClientOp).decode
_from_msgpack: Callable[[bytes], ClientOp] = msgspec.msgpack.Decoder(ClientOp).decode


class _Refused(Exception):
    def __init__(self, code: str, message: str, experiment_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.experiment_id = experiment_id


class Switchboard:
    """What one socket follows. Leaving the block ends all of it."""

    def __init__(self, service: Service, person: Person, outlet: Outlet) -> None:
        self._service = service
        self._person = person
        self._outlet = outlet
        self._group = asyncio.TaskGroup()
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (*self._followed.values(), self._watching):
            if task is not None:
                task.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def hear(self, said: str | bytes) -> None:
        """Do an op, or say why not; waits while the client does not read the answers."""
        op: ClientOp | None = None
        try:
            op = self._understood(said)
            await self._do(op)
        except _Refused as refused:
            name = None if op is None else str(op.__struct_config__.tag)
            refusal = OpRefused(code=refused.code, message=str(refused), op=name, experiment_id=refused.experiment_id)
            self._outlet.say(refusal)
        await self._outlet.clear()

    def _understood(self, said: str | bytes) -> ClientOp:
        is_json = self._outlet.encoding == "json"
        if is_json and isinstance(said, bytes):
            raise _Refused("binary_message", "this stream is JSON: send text; kanad.v1.msgpack is the binary one")
        if not is_json and isinstance(said, str):
            raise _Refused("text_message", "this stream is MessagePack: send binary; kanad.v1.json is the text one")
        try:
            return _from_msgpack(said) if isinstance(said, bytes) else _from_json(said)
        except msgspec.ValidationError as error:
            if "`$.op`" in str(error) or "`op`" in str(error):
                raise _Refused("unknown_op", f"op must be one of {', '.join(_OPS)}: {error}"[:_MAX_SHOWN]) from None
            raise _Refused("invalid_op", f"{error}"[:_MAX_SHOWN]) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            what = "JSON" if is_json else "MessagePack"
            raise _Refused("malformed_op", f"the message is not {what}: {error}"[:_MAX_SHOWN]) from None

    async def _do(self, op: ClientOp) -> None:
        match op:
            case Subscribe():
                await self._subscribe(op)
            case Unsubscribe():
                await self._unsubscribe(op)
            case Watch():
                self._watch(op)
            case Ping():
                self._outlet.say(Pong())
            case _:
                assert_never(op)

    async def _subscribe(self, op: Subscribe) -> None:
        if op.id in self._followed:
            raise _Refused("already_subscribed", "unsubscribe first to begin elsewhere", op.id[:_MAX_SHOWN])
        if len(self._followed) >= MAX_SUBSCRIPTIONS:
            raise _Refused(
                "too_many_subscriptions", f"{MAX_SUBSCRIPTIONS} are open, which is the limit", op.id[:_MAX_SHOWN]
            )
        experiment = await self._service.journal.current(op.id)
        if experiment is None or not self._person.sees(experiment):
            raise _Refused("not_found", "there is no such experiment", op.id[:_MAX_SHOWN])
        if op.after > experiment.last_seq:
            raise _Refused(
                "invalid_after", f"after must be at most {experiment.last_seq}, the last number so far", op.id
            )
        self._outlet.say(Subscribed(experiment_id=op.id, after=op.after, last_seq=experiment.last_seq))
        self._followed[op.id] = self._group.create_task(self._follow(op.id, op.after), name="subscription")

    async def _unsubscribe(self, op: Unsubscribe) -> None:
        task = self._followed.pop(op.id, None)
        if task is None:
            raise _Refused("not_subscribed", "there is no such subscription", op.id[:_MAX_SHOWN])
        task.cancel()
        await asyncio.wait((task,))
        self._outlet.say(Unsubscribed(experiment_id=op.id))

    def _watch(self, op: Watch) -> None:
        if self._watching is not None:
            self._watching.cancel()
        watcher = Watcher(self._is_seen, op.status)
        self._outlet.say(Watching(status=op.status))
        self._watching = self._group.create_task(self._show(watcher), name="watch")

    def _is_seen(self, experiment: Experiment) -> bool:
        return self._person.sees(experiment)

    async def _follow(self, experiment_id: str, after: int) -> None:
        end = await self._service.hub.serve(experiment_id, after, self._service.journal, self._outlet)
        if end is not None:
            del self._followed[experiment_id]
            self._outlet.say(End(experiment_id=experiment_id, last_seq=end))

    async def _show(self, watcher: Watcher) -> None:
        with self._service.hub.board.watched(watcher):
            while True:
                for batch in await watcher.changed():
                    if not self._outlet.put(batch):
                        await self._outlet.clear()
