"""From what was posted to a spec that can run: prepared at the desk, and remembered, or refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from kanad_server.engines import answers
from kanad_server.engines.desk import Desk, NoAnswer
from kanad_server.errors import Impossible
from kanad_solvers.errors import FieldError
from kanad_solvers.prepare import Parsed, Prepared
from kanad_solvers.spec import Molecule, Probe, Spec

REMEMBERED = 1_024
ASKED_AT_ONCE = 64
"""Questions of a batch that the desk sees at a time; it answers those that it can in a moment (`answers.MOMENT_S`)."""
SHOWN = 5
"""Errors of a batch that its message repeats; all of them are in the list."""
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
        self._refuse_probe(spec, "$")
        question = _question(spec)
        prepared = self._remembered.get(question)
        if prepared is None:
            prepared = self._remember(question, await self._ask(answers.prepare, question, "$"))
        return replace(prepared, spec=_named(prepared.spec, spec))

    async def feasible_all(self, specs: Sequence[Spec], paths: Sequence[str]) -> list[Spec]:
        """Every spec in canonical form; equal ones are asked once, and others get their answers in between.

        Raises:
            Impossible: `invalid_spec` or `too_large`, with the fields of the first bad ones under their `paths`.
        """
        for spec, path in zip(specs, paths, strict=True):
            self._refuse_probe(spec, path)
        questions = [_question(spec) for spec in specs]
        places: dict[bytes, str] = {}
        for question, path in zip(questions, paths, strict=True):
            places.setdefault(question, path)
        found: dict[bytes, Prepared] = {}
        while len(found) < len(places):
            missing = [question for question in places if question not in found]
            for question in missing:
                if question in self._remembered:
                    found[question] = self._remembered[question]
            missing = [question for question in missing if question not in found][:ASKED_AT_ONCE]
            found |= await self._ask_some(missing, places)
        for question, path in places.items():
            _refuse_too_large(found[question], path)
        return [_named(found[question].spec, spec) for question, spec in zip(questions, specs, strict=True)]

    async def _ask_some(self, questions: Sequence[bytes], places: Mapping[bytes, str]) -> dict[bytes, Prepared]:
        """What the desk says to the first of `questions`; it takes as many as it can answer in a moment."""
        if not questions:
            return {}
        try:
            asked = b"[" + b",".join(questions) + b"]"
            replies = answers.decode_replies(await self._desk.ask(answers.prepare_some, asked))
        except NoAnswer:  # one of them holds the desk up: ask the first by itself
            path = places[questions[0]]
            return {questions[0]: self._remember(questions[0], await self._ask(answers.prepare, questions[0], path))}
        answered = list(zip(questions, replies, strict=False))
        refused = [
            FieldError(_under(places[question], error.path), error.message)
            for question, reply in answered
            if isinstance(reply, answers.Refusal)
            for error in reply.errors
        ]
        if refused:
            raise _impossible(refused)
        return {question: self._remember(question, bytes(reply.value)) for question, reply in answered}  # type: ignore[union-attr]  # refusals were raised

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
        _refuse_too_large(prepared, "$")
        return prepared

    def _refuse_probe(self, spec: Spec, path: str) -> None:
        if isinstance(spec.method, Probe) and not self._enable_probe:
            raise Impossible(
                "invalid_spec",
                "method probe is served only by a server started with --enable-probe",
                errors=[FieldError(f"{path}.method.name", "probe is not enabled")],
            )

    def _remember(self, question: bytes, reply: bytes) -> Prepared:
        prepared = self._remembered[question] = answers.decode_prepared(reply)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
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
            raise _impossible([FieldError(_under(path, error.path), error.message) for error in reply.errors])
        return bytes(reply.value)


def _question(spec: Spec) -> bytes:
    """The spec without what people call it, which does not change what it is."""
    return _encode(replace(spec, name="", tags=(), priority=0, fresh=False))


def _named(canonical: Spec, posted: Spec) -> Spec:
    return replace(canonical, name=posted.name, tags=posted.tags, priority=posted.priority, fresh=posted.fresh)


def _under(place: str, path: str) -> str:
    """A path of a spec as a path of the body; what the desk says of a molecule begins at its own place already."""
    return path if path.startswith(place) else place + path.removeprefix("$")


def _impossible(errors: Sequence[FieldError]) -> Impossible:
    shown = "; ".join(f"{error.path}: {error.message}" for error in errors[:SHOWN])
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    return Impossible("invalid_spec", shown + more, errors=errors)


def _refuse_too_large(prepared: Prepared, path: str) -> None:
    estimate = prepared.estimate
    if not estimate.feasible:
        reason = estimate.reason or "the experiment is too large for this server"
        raise Impossible(
            "too_large",
            reason if path == "$" else f"{path}: {reason}",
            errors=() if path == "$" else [FieldError(path, reason)],
            estimate=msgspec.to_builtins(estimate),
        )
