"""JSON schema to GBNF, by llama-cpp-python's converter, kept to what a grammar can guarantee.

The converter leaves out what it does not know; a caller would believe it held. So each keyword is
either enforced, without meaning for validation, or refused. Runs in the child process only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llama_cpp.llama_grammar import BuiltinRule, SchemaConverter

from lmx.engine.errors import InvalidRequest

MAX_DEPTH = 32
MAX_ITEMS = 256
MAX_LENGTH = 1000

# Says nothing about what is valid; of "format", date, time, date-time and uuid are enforced.
_NOTES = frozenset(
    {
        *("title", "description", "default", "examples", "$schema", "$id", "$comment"),
        *("deprecated", "readOnly", "writeOnly", "format"),
    }
)
_REFERENCE = re.compile(r"#/(\$defs|definitions)/[^/#~]+")
_DEFINITIONS = ("$defs", "definitions")
# By the first of these that a schema has, the keywords that may stand beside it.
_SHAPES: Mapping[str, frozenset[str]] = {
    "$ref": frozenset(),
    "anyOf": frozenset(),
    "oneOf": frozenset(),
    "const": frozenset({"type"}),
    "enum": frozenset({"type"}),
}
_BY_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "number": frozenset(),
    "integer": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}


def to_gbnf(schema: object) -> str:
    """The grammar of the JSON texts that the schema allows, on one line each.

    Raises InvalidRequest, naming the place, for a schema that is malformed or says more than a
    grammar can hold.
    """
    if not isinstance(schema, dict):
        raise InvalidRequest("json_schema must be an object; true and false are not supported")
    _check(schema, "#", 0)
    make: Any = _Converter  # untyped
    converter = make(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    try:
        resolved = converter.resolve_refs(schema, "")
        converter.visit(resolved, "")
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidRequest(f"json_schema cannot be made a grammar: {reason}") from error
    return str(converter.format_grammar())


class _Converter(SchemaConverter):
    """The converter, with the faults mended by which its texts would not be JSON, or another's."""

    def _format_literal(self, literal: str) -> str:
        return '"' + re.sub(r'[\\"]', r"\\\g<0>", literal).replace("\n", "\\n") + '"'

    def _add_primitive(self, name: str, rule: BuiltinRule) -> str:
        if name == "char":  # JSON allows no control characters in a string
            content = rule.content.replace(r'[^"\\]', r'[^"\\\x00-\x1F\x7F]')
            rule = BuiltinRule(content, rule.deps)
        return str(super()._add_primitive(name, rule))

    def _resolve_ref(self, ref: str) -> str:
        # Under a name of its own: the converter takes any rule that is called like the definition.
        names: dict[str, str] = self.__dict__.setdefault("names_of_refs", {})
        if ref not in names:
            names[ref] = f"lmx-ref-{len(names)}"
            visit: Any = self.visit
            names[ref] = str(visit(self._refs[ref], names[ref]))
        return names[ref]


def _check(schema: object, place: str, depth: int) -> None:
    if not isinstance(schema, dict):
        raise InvalidRequest(f"json_schema: {place} must be an object")
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"json_schema is nested deeper than {MAX_DEPTH}; flatten it")
    allowed = _allowed(schema, place) | _NOTES | set(_DEFINITIONS)
    for keyword in schema:
        if keyword not in allowed:
            raise InvalidRequest(
                f"json_schema: {keyword!r} at {place} cannot be guaranteed by a grammar; leave it "
                "out and check the answer"
            )
    _check_object(schema, place)
    _check_array(schema, place)
    _check_bounds(schema, place, "minLength", "maxLength", MAX_LENGTH)
    for where, part in _parts(schema):
        _check(part, f"{place}/{where}", depth + 1)


def _allowed(schema: Mapping[str, Any], place: str) -> set[str]:
    for shape, beside in _SHAPES.items():
        if shape in schema:
            if shape == "$ref" and not _REFERENCE.fullmatch(str(schema[shape])):
                raise InvalidRequest(
                    f"json_schema: the $ref at {place} must be '#/$defs/NAME', a definition in the "
                    "schema itself"
                )
            if shape in ("anyOf", "oneOf", "enum") and (
                not isinstance(schema[shape], list) or not schema[shape]
            ):
                raise InvalidRequest(f"json_schema: {shape} at {place} must be a list with entries")
            return {shape} | beside
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kinds = kind
        allowed: set[str] = {"type"}
    else:
        kinds = [kind]
        allowed = {"type"} | _BY_TYPE.get(kind if isinstance(kind, str) else "", frozenset())
    for one in kinds or [None]:
        if one not in _BY_TYPE:
            raise InvalidRequest(f"json_schema: type {one!r} at {place} is none of JSON's")
    if "type" not in schema and "items" in schema:
        raise InvalidRequest(f"json_schema: {place} has items but no type; add 'type': 'array'")
    return allowed


def _check_object(schema: Mapping[str, Any], place: str) -> None:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise InvalidRequest(f"json_schema: properties or required at {place} is malformed")
    for name in required:
        if name not in properties:
            raise InvalidRequest(f"json_schema: {place} requires {name!r} but does not describe it")
    more = schema.get("additionalProperties", False)
    if more is not False and properties:
        raise InvalidRequest(
            f"json_schema: additionalProperties beside properties at {place} cannot be guaranteed "
            "by a grammar; set it to false"
        )


def _check_array(schema: Mapping[str, Any], place: str) -> None:
    _check_bounds(schema, place, "minItems", "maxItems", MAX_ITEMS)
    fixed = "prefixItems" in schema or isinstance(schema.get("items"), list)
    if fixed and len({"items", "prefixItems", "minItems", "maxItems"} & schema.keys()) > 1:
        raise InvalidRequest(
            f"json_schema: {place} fixes its items one by one; leave out the other array keywords"
        )
    if ("minItems" in schema or "maxItems" in schema) and "items" not in schema:
        raise InvalidRequest(f"json_schema: {place} counts its items; describe them by 'items'")


def _check_bounds(schema: Mapping[str, Any], place: str, low: str, high: str, most: int) -> None:
    bounds = [schema.get(low, 0), schema.get(high, most)]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in bounds)
    if not whole or not 0 <= bounds[0] <= bounds[1] <= most:
        raise InvalidRequest(
            f"json_schema: {low} and {high} at {place} must be whole numbers, in order, from 0 to "
            f"{most}"
        )


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The schemas inside of this one, with their places."""
    for group in ("properties", *_DEFINITIONS):
        members = schema.get(group, {})
        if not isinstance(members, dict):
            raise InvalidRequest(f"json_schema: {group} must be an object")
        for name, part in members.items():
            yield f"{group}/{name}", part
    for group in ("anyOf", "oneOf", "prefixItems", "items"):
        members = schema.get(group, [])
        for index, part in enumerate(members if isinstance(members, list) else [members]):
            yield f"{group}/{index}", part
    if isinstance(schema.get("additionalProperties"), dict):
        yield "additionalProperties", schema["additionalProperties"]
