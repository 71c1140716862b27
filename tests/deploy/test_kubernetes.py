"""The manifest of docs/cluster.md against the operator's own definition of what a DaskCluster is."""

from __future__ import annotations

import copy
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
DEFINITION = "operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


def closed(schema: Any) -> Any:
    """The schema with every field refused that it does not name, as the API server prunes it."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def validator() -> jsonschema.Draft7Validator:
    package = find_spec("dask_kubernetes")
    if package is None or package.origin is None:
        pytest.skip("dask-kubernetes is not installed here")
    definition = yaml.safe_load((Path(package.origin).parent / DEFINITION).read_text())
    (version,) = (one for one in definition["spec"]["versions"] if one["name"] == "v1")
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    return jsonschema.Draft7Validator(schema)


def manifest() -> dict[str, Any]:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL)
    assert block is not None
    return dict(yaml.safe_load(block[1]))


def test_the_operator_takes_the_manifest_of_the_docs() -> None:
    found = manifest()
    assert list(validator().iter_errors(found)) == []
    (worker,) = found["spec"]["worker"]["spec"]["containers"]
    assert worker["args"][-2:] == ["--preload", "kanad_server.engines.dask_preload"]
    wrong = copy.deepcopy(found)
    wrong["spec"]["worker"]["spec"]["containers"][0]["imagee"] = "x"
    assert len(list(validator().iter_errors(wrong))) == 1
