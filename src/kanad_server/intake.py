"""From what was posted to a spec that can run: prepared at the desk, and remembered, or refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from kanad_server.engines import answers
from kanad_server.engines.desk import Desk, NoAnswer
from kanad_server.errors import Impossible
from kanad_solvers.errors import FieldError
from kanad_solvers.prepare import Parsed, Prepared
from kanad_solvers.spec import Molecule, Probe, Spec

REMEMBERED = 1_024
_encode = msgspec.json.Encoder().encode


class Intake:
    """Asks the desk; the same question is asked once."""

    def __init__(self, desk: Desk, *, enable_probe: bool) -> None:
        self._desk = desk
        self._enable_probe = enable_probe
        self._remembered: OrderedDict[bytes, Prepared] = OrderedDict()

    async def prepare(self, spec: Spec) -> Prepared:
        """The canonical spec with its molecule and its price (which may say that it is not feasible).

        Raises:
            Impossible: `invalid_spec`, with the path of every field that breaks a rule.
        """
        if isinstance(spec.method, Probe) and not self._enable_probe:
            raise Impossible(
                "invalid_spec",
                "method probe is served only by a server started with --enable-probe",
                errors=[FieldError("$.method.name", "probe is not enabled")],
            )
        # What people call an experiment does not change what it is.
        question = _encode(replace(spec, name="", tags=(), priority=0, fresh=False))
        prepared = self._remembered.get(question)
        if prepared is None:
            prepared = answers.decode_prepared(await self._ask(answers.prepare, question, "$"))
            self._remembered[question] = prepared
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        named = replace(prepared.spec, name=spec.name, tags=spec.tags, priority=spec.priority, fresh=spec.fresh)
        return replace(prepared, spec=named)

    async def parse(self, molecule: Molecule) -> Parsed:
        """The molecule, resolved to nuclei.

        Raises:
            Impossible: `invalid_spec`, with paths that begin at ``$.molecule``.
        """
        return answers.decode_parsed(await self._ask(answers.parse, _encode(molecule), "$.molecule"))

    async def feasible(self, spec: Spec) -> Prepared:
        """`prepare`, and refuse what is too large.

        Raises:
            Impossible: `invalid_spec`, or `too_large` with the limit, the value and a suggestion.
        """
        prepared = await self.prepare(spec)
        estimate = prepared.estimate
        if not estimate.feasible:
            raise Impossible(
                "too_large",
                estimate.reason or "the experiment is too large for this server",
                estimate=msgspec.to_builtins(estimate),
            )
        return prepared

    async def _ask(self, answer: Callable[[bytes], bytes], question: bytes, path: str) -> bytes:
        try:
            reply = answers.decode_reply(await self._desk.ask(answer, question))
        except NoAnswer:
            raise Impossible(
                "invalid_spec",
                "the input could not be checked: it takes too long, or brings the checking process down",
                errors=[FieldError(path, "could not be checked")],
            ) from None
        if isinstance(reply, answers.Refusal):
            raise Impossible(
                "invalid_spec",
                "; ".join(f"{error.path}: {error.message}" for error in reply.errors),
                errors=reply.errors,
            )
        return bytes(reply.value)
