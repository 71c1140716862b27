"""Specs as they come in: ours, or a QCSchema `AtomicInput` by its `schema_name`."""

from __future__ import annotations

from typing import Any

import msgspec

from kanad_server.errors import Impossible
from kanad_server.http.body import decode
from kanad_solvers import qcschema
from kanad_solvers.errors import FieldError, InvalidSpec
from kanad_solvers.spec import Spec


def decode_spec(body: bytes) -> Spec:
    """The spec in a body.

    Raises:
        Malformed: it is not JSON.
        Impossible: it is no spec; the paths are those of what was sent.
    """
    if b'"schema_name"' not in body:
        return decode(body, Spec)
    value = decode(body, dict[str, Any])
    if not qcschema.is_qcschema(value):
        return decode(body, Spec)
    try:
        spec = qcschema.spec_of(value)
    except InvalidSpec as error:
        raise _refusal(error.errors) from None
    try:
        return decode(msgspec.json.encode(spec), Spec)
    except Impossible as error:
        raise _refusal(FieldError(qcschema.input_path(one.path), one.message) for one in error.errors) from None


def _refusal(errors: Any) -> Impossible:
    found = tuple(errors)
    return Impossible("invalid_spec", "; ".join(f"{one.path}: {one.message}" for one in found), errors=found)
