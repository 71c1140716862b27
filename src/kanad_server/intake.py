"""From what was posted to a spec that can run: prepared at the desk, and remembered, or refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from kanad_server.engines import answers
from kanad_server.engines.desk import Desk, NoAnswer
from kanad_server.errors import Impossible
from kanad_server.webhooks import Allowed
from kanad_solvers.errors import FieldError
from kanad_solvers.prepare import Parsed, Prepared
from kanad_solvers.spec import Molecule, Probe, Spec, spec_hash

REMEMBERED = 1_024
REMEMBERED_ESTIMATES = 20_000
LONGEST_REMEMBERED = 20_000
"""Bytes; longer questions (large FCIDUMPs) are asked each time."""
ASKED_AT_ONCE = 64
"""Questions of a batch that the desk sees at a time; it answers those that it can in a moment (`answers.MOMENT_S`)."""
Place: TypeAlias = Callable[[str], str]
"""From a path of a spec to that of the request's body."""
SHOWN = 5
"""Errors of a batch that its message repeats; all of them are in the list."""
_encode = msgspec.json.Encoder().encode


class Intake:
    """Asks the desk; the same question is asked once."""

    def __init__(self, desk: Desk, *, enable_probe: bool, allowed: Allowed | None = None) -> None:
        self._desk = desk
        self._allowed = allowed or Allowed((), ())
        self._enable_probe = enable_probe
        self._remembered: OrderedDict[bytes, Prepared] = OrderedDict()
        self._seconds: OrderedDict[str, float] = OrderedDict()

    async def prepare(self, spec: Spec) -> Prepared:
        """The canonical spec with its molecule and its price (which may say that it is not feasible).

        Raises:
            Impossible: `invalid_spec`, with the path of every field that breaks a rule.
        """
        self._refuse_probe(spec, here)
        self._refuse_notices(spec, here)
        question = _question(spec)
        prepared = self._remembered.get(question)
        if prepared is None:
            prepared = self._remember(question, await self._ask(answers.prepare, question, here))
        return replace(prepared, spec=_named(prepared.spec, spec))

    async def feasible_all(self, specs: Sequence[Spec], places: Sequence[Place]) -> list[Spec]:
        """Every spec in canonical form; equal ones are asked once, and others get their answers in between.

        Raises:
            Impossible: `invalid_spec` or `too_large`, with the fields of the first bad ones where `places` put them.
        """
        for spec, place in zip(specs, places, strict=True):
            self._refuse_probe(spec, place)
            self._refuse_notices(spec, place)
        questions = [_question(spec) for spec in specs]
        place_of: dict[bytes, Place] = {}
        for question, place in zip(questions, places, strict=True):
            place_of.setdefault(question, place)
        found: dict[bytes, Prepared] = {}
        while len(found) < len(place_of):
            missing = [question for question in place_of if question not in found]
            for question in missing:
                if question in self._remembered:
                    found[question] = self._remembered[question]
            missing = [question for question in missing if question not in found][:ASKED_AT_ONCE]
            found |= await self._ask_some(missing, place_of)
        for question, place in place_of.items():
            _refuse_too_large(found[question], place)
        return [_named(found[question].spec, spec) for question, spec in zip(questions, specs, strict=True)]

    async def _ask_some(self, questions: Sequence[bytes], place_of: Mapping[bytes, Place]) -> dict[bytes, Prepared]:
        """What the desk says to the first of `questions`; it takes as many as it can answer in a moment."""
        if not questions:
            return {}
        try:
            asked = b"[" + b",".join(questions) + b"]"
            replies = answers.decode_replies(await self._desk.ask(answers.prepare_some, asked))
        except NoAnswer:  # one of them holds the desk up: ask the first by itself
            first = questions[0]
            return {first: self._remember(first, await self._ask(answers.prepare, first, place_of[first]))}
        answered = list(zip(questions, replies, strict=False))
        refused = [
            FieldError(place_of[question](error.path), error.message)
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
        return answers.decode_parsed(await self._ask(answers.parse, _encode(molecule), here))

    async def feasible(self, spec: Spec) -> Prepared:
        """`prepare`, and refuse what is too large.

        Raises:
            Impossible: `invalid_spec`, or `too_large` with the limit, the value and a suggestion.
        """
        prepared = await self.prepare(spec)
        _refuse_too_large(prepared, here)
        return prepared

    def estimated_s(self, asked: str) -> float | None:
        """How many seconds a prepared spec, by its hash, is estimated to take at most; None where it is forgotten."""
        return self._seconds.get(asked)

    def _refuse_probe(self, spec: Spec, place: Place) -> None:
        if isinstance(spec.method, Probe) and not self._enable_probe:
            raise Impossible(
                "invalid_spec",
                "method probe is served only by a server started with --enable-probe",
                errors=[FieldError(place("$.method.name"), "probe is not enabled")],
            )

    def _refuse_notices(self, spec: Spec, place: Place) -> None:
        found = [(index, self._allowed.problem(wanted.url)) for index, wanted in enumerate(spec.notify)]
        errors = [FieldError(place(f"$.notify[{index}].url"), problem) for index, problem in found if problem]
        if errors:
            raise _impossible(errors)

    def _remember(self, question: bytes, reply: bytes) -> Prepared:
        prepared = answers.decode_prepared(reply)
        self._seconds[spec_hash(prepared.spec)] = prepared.estimate.seconds[1]
        if len(self._seconds) > REMEMBERED_ESTIMATES:
            self._seconds.popitem(last=False)
        if len(question) > LONGEST_REMEMBERED:
            return prepared
        self._remembered[question] = prepared
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return prepared

    async def _ask(self, answer: Callable[[bytes], bytes], question: bytes, place: Place) -> bytes:
        try:
            reply = answers.decode_reply(await self._desk.ask(answer, question))
        except NoAnswer:
            raise Impossible(
                "invalid_spec",
                "the input could not be checked: it takes too long, or brings the checking process down",
                errors=[FieldError(place("$"), "could not be checked")],
            ) from None
        if isinstance(reply, answers.Refusal):
            raise _impossible([FieldError(place(error.path), error.message) for error in reply.errors])
        return bytes(reply.value)


def _question(spec: Spec) -> bytes:
    """The spec without what people call it, which does not change what it is."""
    return _encode(replace(spec, name="", tags=(), priority=0, fresh=False, notify=()))


def _named(canonical: Spec, posted: Spec) -> Spec:
    names = ("name", "tags", "priority", "fresh", "notify")
    return replace(canonical, **{name: getattr(posted, name) for name in names})


def here(path: str) -> str:
    """The place of a spec that is the whole body."""
    return path


def under(prefix: str) -> Place:
    """The place of a spec inside a body."""
    return lambda path: prefix + path.removeprefix("$")


def _impossible(errors: Sequence[FieldError]) -> Impossible:
    shown = "; ".join(f"{error.path}: {error.message}" for error in errors[:SHOWN])
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    return Impossible("invalid_spec", shown + more, errors=errors)


def _refuse_too_large(prepared: Prepared, place: Place) -> None:
    estimate = prepared.estimate
    if not estimate.feasible:
        reason = estimate.reason or "the experiment is too large for this server"
        raise Impossible(
            "too_large",
            reason if place is here else f"{place('$')}: {reason}",
            errors=() if place is here else [FieldError(place("$"), reason)],
            estimate=msgspec.to_builtins(estimate),
        )
