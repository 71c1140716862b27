"""What the desk's process answers: JSON in, JSON out."""

from __future__ import annotations

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

decode_reply = msgspec.json.Decoder(Reply).decode
decode_prepared = msgspec.json.Decoder(Prepared).decode
decode_parsed = msgspec.json.Decoder(Parsed).decode
_encode = msgspec.json.Encoder().encode
_decode_spec = msgspec.json.Decoder(Spec).decode
_decode_molecule = msgspec.json.Decoder(Molecule).decode


def prepare(question: bytes) -> bytes:
    """A spec, prepared."""
    import kanad_solvers.prepare

    try:
        prepared = kanad_solvers.prepare.prepare(_decode_spec(question))
    except InvalidSpec as error:
        return _encode(Refusal(error.errors))
    return _encode(Answer(msgspec.Raw(_encode(prepared))))


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
