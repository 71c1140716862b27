"""What can be computed: methods, tasks, the combinations that work, basis sets."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kanad_server.http.body import answer
from kanad_server.http.experiments import service_of
from kanad_server.wire import MethodDescription, MethodPage, TaskDescription
from kanad_solvers.basis import BASES
from kanad_solvers.registry import METHODS, TASKS
from kanad_solvers.spec import Probe


async def methods(request: Request) -> Response:
    """Every method and task with its options as JSON Schema."""
    return answer(_page(service_of(request).settings.enable_probe))


@cache
def _page(with_probe: bool) -> MethodPage:
    described = [
        MethodDescription(name=name, title=entry.title, tasks=entry.tasks, options=_options(entry.options))
        for name, entry in METHODS.items()
    ]
    if with_probe:
        described.append(
            MethodDescription(name="probe", title="No chemistry, for tests", tasks=("energy",), options=_options(Probe))
        )
    return MethodPage(
        methods=described,
        tasks=[
            TaskDescription(name=name, title=task.title, options=_options(task.options)) for name, task in TASKS.items()
        ],
        basis_sets=list(BASES),
    )


def _options(struct: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a method's or task's options, without the name that chooses it."""
    (schema,), components = msgspec.json.schema_components([struct])
    described: dict[str, Any] = components[schema["$ref"].rpartition("/")[2]]
    properties = {name: value for name, value in described["properties"].items() if name != "name"}
    return {"type": "object", "properties": properties, "additionalProperties": False}
