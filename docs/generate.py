"""Reference pages made of the code while the site is built: calls, specs, results, events, commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import msgspec
import typer
from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from kanad_server import wire
from kanad_server.cli.main import app
from kanad_server.http import openapi
from kanad_solvers import result, spec

Schema = dict[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; MkDocs calls this (https://www.mkdocs.org/user-guide/configuration/#hooks)."""
    pages = {
        "http": calls(),
        "specs": structs(
            "Specs", "What is posted. [The protocol](../protocol.md#a-spec) has the meaning.", [spec.Spec]
        ),
        "results": structs(
            "Results", "What a completed experiment has. [The protocol](../protocol.md#a-result) has the meaning.",
            [result.Result],
        ),
        "events": structs(
            "Events", "What a stream and a log hold. [The protocol](../protocol.md#events) has the meaning.",
            get_args(wire.Event),
        ),
        "command-line": commands(),
    }  # fmt: skip
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def calls() -> str:
    """Every call with its parameters, bodies and refusals, then every struct that they speak of."""
    document = openapi.document()
    lines = ["# HTTP calls", "", "From the OpenAPI document that a server has at `/openapi.json`.", ""]
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            lines += [f"## `{method.upper()} {path}`", "", f"{call['summary']}.", ""]
            lines += _parameters(call.get("parameters", []))
            if "requestBody" in call:
                content = next(iter(call["requestBody"]["content"].values()))
                lines += [f"Body: {typed(content['schema'])}", ""]
            lines += ["| status | body |", "|---|---|"]
            lines += [f"| {status} | {_body(response)} |" for status, response in sorted(call["responses"].items())]
            lines.append("")
    return "\n".join([*lines, *_tables(document["components"]["schemas"])])


def structs(title: str, introduction: str, roots: Iterable[type]) -> str:
    """The structs that `roots` are made of, each with its fields."""
    _, components = msgspec.json.schema_components(list(roots), ref_template="#/components/schemas/{name}")
    return "\n".join([f"# {title}", "", introduction, "", *_tables(components)])


def commands() -> str:
    """What ``kanad --help`` and the help of every command say."""
    command = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="kanad", title="Command line")


def typed(schema: Schema) -> str:
    """A JSON Schema in a few words, with links to the structs that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{slugify(name, '-')})"
    if "anyOf" in schema:
        return " or ".join(typed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "anything")
    if "prefixItems" in schema:
        return "(" + ", ".join(typed(item) for item in schema["prefixItems"]) + ")"
    if kind == "array" and isinstance(schema.get("items"), dict) and schema["items"]:
        return f"list of {typed(schema['items'])}{_bounds(schema)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {typed(schema['additionalProperties'])}"
    return f"{kind}{_bounds(schema)}"


_BOUNDS = {
    "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below",
    "minLength": "length from", "maxLength": "length to", "minItems": "items from", "maxItems": "items to",
}  # fmt: skip


def _bounds(schema: Schema) -> str:
    said = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return f" ({', '.join(said)})" if said else ""


def _parameters(parameters: list[Schema]) -> list[str]:
    if not parameters:
        return []
    rows = [f"| `{item['name']}` | {item['in']} | {typed(item['schema'])} |" for item in parameters]
    return ["| parameter | in | type |", "|---|---|---|", *rows, ""]


def _body(response: Schema) -> str:
    for media, content in response.get("content", {}).items():
        return "a file" if media == "*/*" else f"{typed(content['schema'])} (`{media}`)"
    return "none"


def _tables(components: dict[str, Schema]) -> list[str]:
    lines: list[str] = []
    for name, schema in sorted(components.items()):
        lines += [f"## {name}", "", *_words(schema), ""]
        properties = schema.get("properties", {})
        if properties:
            needed = schema.get("required", [])
            lines += ["| field | type | default |", "|---|---|---|"]
            lines += [_row(field, inner, field in needed) for field, inner in properties.items()]
        else:
            lines.append(typed(schema))
        lines.append("")
    return lines


def _words(schema: Schema) -> list[str]:
    """The docstring, whose continuation lines are indented."""
    return [line.strip() for line in schema.get("description", "").splitlines()]


def _row(field: str, schema: Schema, needed: bool) -> str:
    if needed:
        default = "needed"
    else:
        default = f"`{msgspec.json.encode(schema['default']).decode()}`" if "default" in schema else ""
    return f"| `{field}` | {typed(schema)} | {default} |"
