"""What the played model answers in a given form: calls of tools, and JSON of a schema."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SAMPLES: Final[Mapping[str, Any]] = {
    "string": "stone",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


def sample(schema: Any) -> Any:
    """A value of a JSON schema, as far as its types, enums and required properties say."""
    if not isinstance(schema, Mapping):
        return "stone"
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        properties = schema.get("properties", {})
        wanted = schema.get("required", list(properties))
        return {name: sample(properties.get(name)) for name in wanted}
    if kind == "array":
        return [sample(schema.get("items"))] * int(schema.get("minItems", 1))
    return _SAMPLES.get(str(kind), "stone")


def chosen(tools: Sequence[tuple[str, Any]], name: str | None) -> tuple[str, str] | None:
    """The call of a tool that must be called: its name and arguments in JSON.

    `tools` are names with the schemas of their arguments; `name` picks one, else the first.
    """
    for known, schema in tools:
        if name in (None, known):
            return known, json.dumps(sample(schema or {"type": "object"}))
    return None
