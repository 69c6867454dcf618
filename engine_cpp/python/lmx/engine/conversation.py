"""Messages and tools in OpenAI's shapes, checked and brought into one form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lmx.engine.errors import InvalidRequest

Message = Mapping[str, Any]
ToolSpec = Mapping[str, Any]
ToolChoice = str | Mapping[str, Any]

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat template is given. ``tools`` have a name, a description and JSON parameters.

    ``thinking`` None leaves it to the template; ``options`` are further variables of the template,
    in JSON. ``parallel`` None lets the template say whether a turn may have several calls.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, str]] = field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] = "auto"
    parallel: bool | None = None
    thinking: bool | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def calls_tools(self) -> bool:
        """Whether the answer may be tool calls."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def has_tool_messages(self) -> bool:
        return any(m["role"] == "tool" or m.get("tool_calls") for m in self.messages)


def conversation(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec] | None = None,
    tool_choice: ToolChoice | None = None,
    parallel_tool_calls: bool | None = None,
    thinking: bool | None = None,
    template_options: Mapping[str, Any] | None = None,
) -> Conversation:
    """Checks all of it. Raises InvalidRequest, naming the place, in one line.

    With a named function as the choice, that one is the only tool, and must be called.
    """
    known = _tools(tools or ())
    choice = _choice(tool_choice, known)
    if choice not in _CHOICES:
        known = [tool for tool in known if tool["name"] == choice]
        choice = "required"
    options = {
        _option_name(name): _json(value, f"template_options[{name!r}]")
        for name, value in (template_options or {}).items()
    }
    return Conversation(
        _messages(messages),
        known,
        choice,  # type: ignore[arg-type]
        parallel_tool_calls,
        thinking,
        options,
    )


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise InvalidRequest("messages is empty; give at least one message")
    plain: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidRequest(f"{place} needs a role and a content, both strings")
        calls = [
            _call(call, f"{place}.tool_calls[{number}]")
            for number, call in enumerate(_list(message.get("tool_calls"), f"{place}.tool_calls"))
        ]
        names.update({call["id"]: call["name"] for call in calls})
        answers = _text(message, "tool_call_id", place)
        plain.append(
            {
                "role": _text(message, "role", place),
                "content": _content(message.get("content"), place),
                "reasoning": _text(message, "reasoning", place)
                or _text(message, "reasoning_content", place),
                "tool_calls": calls,
                "tool_name": _text(message, "name", place) or names.get(answers, ""),
                "tool_call_id": answers,
            }
        )
    return plain


def _content(content: object, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return _encodable(content, place)
    if not isinstance(content, list | tuple):
        raise InvalidRequest(f"{place} has a content that is not text")
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise InvalidRequest(f"{place} has a part of type {kind!r}; only text can be read")
        texts.append(_text(part, "text", place))
    return "".join(texts)


def _call(call: object, place: str) -> dict[str, str]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise InvalidRequest(f"{place} needs an id and a function with name and arguments")
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = _json(arguments, f"{place}.function.arguments")
    try:
        known = isinstance(json.loads(arguments or "{}"), dict)
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise InvalidRequest(f"{place}.function.arguments must be a JSON object")
    return {
        "id": _text(call, "id", place),
        "name": _function_name(function, f"{place}.function"),
        "arguments": _encodable(arguments or "{}", place),
    }


def _tools(tools: Sequence[ToolSpec]) -> list[dict[str, str]]:
    if isinstance(tools, str | bytes | Mapping) or len(tools) > MAX_TOOLS:
        raise InvalidRequest(f"tools must be a list of at most {MAX_TOOLS} functions")
    plain = []
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
            raise InvalidRequest(
                f'{place} must be {{"type": "function", "function": {{"name": ..., ...}}}}'
            )
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
            raise InvalidRequest(f"{place}.function.parameters must be the schema of an object")
        plain.append(
            {
                "name": _function_name(function, f"{place}.function"),
                "description": _text(function, "description", place),
                "parameters": _json(parameters, f"{place}.function.parameters"),
            }
        )
        if plain[-1]["name"] in [other["name"] for other in plain[:-1]]:
            raise InvalidRequest(f"tools has two functions called {plain[-1]['name']!r}")
    return plain


def _choice(choice: ToolChoice | None, tools: Sequence[Mapping[str, str]]) -> str:
    """ "auto", "none", "required", or the name of a tool that must be called."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, Mapping) else None
        if choice in _CHOICES:
            raise InvalidRequest(f"tool_choice names the function {choice!r}; call it otherwise")
    elif choice is None:
        return "auto"
    if not isinstance(choice, str) or (
        choice not in _CHOICES and choice not in [tool["name"] for tool in tools]
    ):
        raise InvalidRequest(
            'tool_choice must be "auto", "none", "required" or one of the tools: '
            '{"type": "function", "function": {"name": ...}}'
        )
    if choice == "required" and not tools:
        raise InvalidRequest('tool_choice is "required", but there are no tools')
    return choice


def _function_name(function: Mapping[str, Any], place: str) -> str:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(f"{place}.name must be 1 to 64 letters, digits, _ or -; got {name!r}")
    return name


def _option_name(name: object) -> str:
    if isinstance(name, str) and name.isidentifier():
        return name
    raise InvalidRequest(f"template_options: {name!r} is no name of a variable")


def _list(value: object, place: str) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    raise InvalidRequest(f"{place} must be a list")


def _text(holder: Mapping[str, Any], key: str, place: str) -> str:
    value = holder.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"{place}.{key} must be a string")
    return _encodable(value, place)


def _encodable(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{place} is not valid Unicode: {error.reason}") from error
    return text


def _json(value: object, place: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{place} cannot be written as JSON: {error}") from error
