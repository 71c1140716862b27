"""A run in a notebook: a live widget where anywidget is installed (the extra ``notebook``), else a still picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kanad_server.client.errors import ClientError
from kanad_server.client.view import Plain, View

if TYPE_CHECKING:
    from pandas import DataFrame

    from kanad_server.client.run import Run
    from kanad_server.wire import Event

SHOWN_EVERY_S = 0.2
SCRIPT = Path(__file__).with_name("widget.js")


def has_widgets() -> bool:
    """Whether a live widget can be made."""
    return find_spec("anywidget") is not None


def widget(view: View) -> Any:
    """A widget that shows `view`; assign a new value to its trait `view` to change it."""
    return _widget_class()(view=dict(view.plain))


@lru_cache(maxsize=1)
def _widget_class() -> Any:
    import anywidget
    import traitlets

    class RunWidget(anywidget.AnyWidget):
        _esm = SCRIPT.read_text()
        view = traitlets.Dict().tag(sync=True)

    return RunWidget


async def snapshot(run: Run) -> View:
    """The run as it is: its log so far, and its structure."""
    await run.refresh()
    view = View(run.experiment)
    for event in await run.log():
        view.take(event)
    await _place(run, view)
    return view


async def follow(run: Run, view: View, show: Callable[[Plain], None]) -> None:
    """Show the run as it goes on, to its end; what breaks the line stands in the picture."""
    shown = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(_tick(view, show), name="notebook")
            await _place(run, view)
            async for event in run.events():
                view.take(event)
                if time.monotonic() - shown > SHOWN_EVERY_S:
                    shown = time.monotonic()
                    await asyncio.sleep(0)  # the ticker's turn, in a flood of events
            ticker.cancel()
        if (await run.refresh()).status == "completed":
            view.place((await run.result()).geometry)
    except* ClientError as errors:
        view.plain["message"] = "; ".join(str(error) for error in errors.exceptions)
    show(dict(view.plain))


async def _tick(view: View, show: Callable[[Plain], None]) -> None:
    before: Plain = {}
    while True:
        now = dict(view.plain)
        if now != before:
            show(now)
            before = now
        await asyncio.sleep(SHOWN_EVERY_S)


async def _place(run: Run, view: View) -> None:
    with suppress(ClientError):  # the picture has no structure then
        view.place((await run.parsed()).geometry)


def dataframe(events: list[Event]) -> DataFrame:
    """A row for each event, in order; columns are the fields of all kinds of event, `type` says which kind.

    Raises:
        ImportError: pandas is not installed.
    """
    import pandas

    return pandas.DataFrame([msgspec.to_builtins(event) for event in events])
