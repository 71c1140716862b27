"""A line of numbers as a chart of braille dots: two columns and four rows in each character."""

from __future__ import annotations

from collections.abc import Sequence

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_EMPTY = 0x2800


def chart(values: Sequence[float], width: int, height: int) -> list[str]:
    """The lines of a chart, `height` of them, each with a label and `width` characters of dots.

    Args:
        values: at least one; more than there are columns are thinned, the last one always shown.
    """
    columns, rows = 2 * width, 4 * height
    shown = _thinned(values, columns)
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    cells = [[_EMPTY] * width for _ in range(height)]
    step = (columns - 1) / max(len(shown) - 1, 1)
    before: int | None = None
    for index, value in enumerate(shown):
        x, y = round(index * step), round((high - value) / span * (rows - 1))
        for dot in _between(before, y):
            cells[dot // 4][x // 2] |= _DOTS[x % 2][dot % 4]
        before = y
    labels = {0: f"{high:.6f}", height - 1: f"{low:.6f}"}
    room = max(len(label) for label in labels.values())
    return [
        f"{labels.get(row, ''):>{room}} ┤" + "".join(chr(cell) for cell in line).rstrip(chr(_EMPTY))
        for row, line in enumerate(cells)
    ]


def _thinned(values: Sequence[float], count: int) -> list[float]:
    if len(values) <= count:
        return list(values)
    last = len(values) - 1
    return [values[round(index * last / (count - 1))] for index in range(count)]


def _between(before: int | None, now: int) -> range:
    """The dots of a vertical stroke from the last value to this one."""
    if before is None or before == now:
        return range(now, now + 1)
    return range(before + 1, now + 1) if now > before else range(now, before)
