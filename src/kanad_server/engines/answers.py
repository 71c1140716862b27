"""What the desk's process answers: JSON in, JSON out."""

from __future__ import annotations

import time
from typing import Literal, TypeAlias

import msgspec

from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.prepare import Parsed, Prepared
from kanad_solvers.spec import Molecule, Spec


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """It is sound; `value` is the encoded `Prepared` or `Parsed`."""

    value: msgspec.Raw


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """It breaks these rules."""

    errors: tuple[FieldError, ...]


Reply: TypeAlias = Answer | Refusal

MOMENT_S = 0.2
"""How long the desk works on the questions of a batch before others have their turn."""

decode_reply = msgspec.json.Decoder(Reply).decode
decode_replies = msgspec.json.Decoder(list[Reply]).decode
decode_prepared = msgspec.json.Decoder(Prepared).decode
decode_parsed = msgspec.json.Decoder(Parsed).decode
_encode = msgspec.json.Encoder().encode
_decode_spec = msgspec.json.Decoder(Spec).decode
_decode_specs = msgspec.json.Decoder(list[Spec]).decode
_decode_molecule = msgspec.json.Decoder(Molecule).decode


def prepare(question: bytes) -> bytes:
    """A spec, prepared."""
    return _encode(_prepared(_decode_spec(question)))


def prepare_some(questions: bytes) -> bytes:
    """The first of several specs, prepared: as many as a moment allows, and one at least."""
    end = time.monotonic() + MOMENT_S
    replies: list[Reply] = []
    for spec in _decode_specs(questions):
        replies.append(_prepared(spec))
        if time.monotonic() > end:
            break
    return _encode(replies)


def _prepared(spec: Spec) -> Reply:
    import kanad_solvers.prepare

    try:
        return Answer(msgspec.Raw(_encode(kanad_solvers.prepare.prepare(spec))))
    except InvalidSpec as error:
        return Refusal(error.errors)


class FileQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be made of kept orbitals: `kind` is a function of `kanad_solvers.interop`."""

    path: str
    kind: Literal["molden", "cube", "grid", "fcidump"]
    numbers: tuple[int, ...] = ()


_decode_file_question = msgspec.json.Decoder(FileQuestion).decode


def make_file(question: bytes) -> bytes:
    """The bytes of a file behind a `1`, or a refusal as JSON behind a `0`."""
    from pathlib import Path

    from kanad_solvers import interop, wavefunction
    from kanad_solvers.errors import TooLarge

    asked = _decode_file_question(question)
    kept = wavefunction.decode(Path(asked.path).read_bytes())
    try:
        match asked.kind:
            case "molden":
                made = interop.molden(kept).encode()
            case "cube":
                made = interop.cube(kept, asked.numbers[0]).encode()
            case "grid":
                made = interop.grid(kept, asked.numbers)
            case "fcidump":
                made = interop.fcidump(kept).encode()
    except InvalidSpec as error:
        return b"0" + _encode(Refusal(error.errors))
    except TooLarge as error:
        return b"0" + _encode(Refusal((FieldError("orbitals", error.message),)))
    return b"1" + made


def parse(question: bytes) -> bytes:
    """A molecule, resolved to nuclei."""
    import kanad_solvers.molecule

    try:
        parsed = kanad_solvers.molecule.parse(_decode_molecule(question))
    except InvalidSpec as error:
        return _encode(Refusal(error.errors))
    return _encode(Answer(msgspec.Raw(_encode(parsed))))
