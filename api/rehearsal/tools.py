"""What the played model answers in a given form: calls of tools, and JSON of a schema."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SAMPLES: Final[Mapping[str, Any]] = {
    "string": "stone",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer must look: `text` instead of any words, as the arguments of `tool` if it has
    one; whether the model shows what it thinks."""

    text: str | None = None
    tool: str | None = None
    thinks: bool = False


#: Any words.
FREE: Final = Form()


def form_of(
    tools: Sequence[tuple[str, Any]], *, must: bool, name: str | None, turn: int, schema: Any
) -> Form:
    """The form that a request asks for.

    `tools` are names with the schemas of their arguments. One that `must` be called is the one
    called `name`, or else each in its `turn`, and at last the last.
    """
    if must and tools:
        in_turn = tools[min(turn, len(tools) - 1)]
        chosen = next((one for one in tools if one[0] == name), in_turn)
        return Form(json.dumps(sample(chosen[1] or {"type": "object"})), chosen[0])
    return Form(None if schema is None else json.dumps(sample(schema)))


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
