"""Old logs made short: of a long run of convergence events only its beginning and its end stay.

What was taken out is never silent: one `thinned` event stands in its place, with the number of the last event that it
stands for, so that every reader is told, wherever it takes up the log. All other events, the result and the files stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from kanad_server.wire import Convergence, Thinned

HEAD = TAIL = 10
"""Convergence events that stay of each uninterrupted run of them."""
_CONVERGENCE = '{"type":"convergence"'

_decode = msgspec.json.Decoder(Convergence).decode
_encode = msgspec.json.Encoder().encode

Row = tuple[int, str]


def shortened(rows: Sequence[Row], now: str) -> Iterator[tuple[int, int, str]]:
    """(first, last, marker) for each stretch of `rows` that gives way to a marker with the number `last`."""
    for is_convergence, group in groupby(rows, key=lambda row: row[1].startswith(_CONVERGENCE)):
        stretch = list(group)[HEAD:-TAIL] if is_convergence else []
        if len(stretch) > 1:
            yield stretch[0][0], stretch[-1][0], _marker(stretch, now)


def _marker(stretch: Sequence[Row], now: str) -> str:
    last = _decode(stretch[-1][1])
    marker = Thinned(
        experiment_id=last.experiment_id,
        attempt=last.attempt,
        seq=last.seq,
        time=last.time,
        first_seq=stretch[0][0],
        removed=len(stretch),
        thinned_at=now,
    )
    return _encode(marker).decode()
