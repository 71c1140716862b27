"""What the desk's process answers: JSON in, JSON out."""

from __future__ import annotations

from typing import TypeAlias

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


def parse(question: bytes) -> bytes:
    """A molecule, resolved to nuclei."""
    import kanad_solvers.molecule

    try:
        parsed = kanad_solvers.molecule.parse(_decode_molecule(question))
    except InvalidSpec as error:
        return _encode(Refusal(error.errors))
    return _encode(Answer(msgspec.Raw(_encode(parsed))))
