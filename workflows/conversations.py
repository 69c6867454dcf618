"""Messages and tools in OpenAI's form, as far as they can be checked without a model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lmx.workflows.errors import InvalidInput

ROLES: Final = ("system", "user", "assistant", "tool")
CHOICES: Final = ("auto", "none", "required")
#: Bytes of all tools of a call.
MAX_TOOLS: Final = 262_144

_TEXTS: Final = ("name", "tool_call_id", "reasoning")


def check_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it is kept. Raises InvalidInput, in one line."""
    role, content = message.get("role"), message.get("content")
    calls = message.get("tool_calls") or []
    if content is None and calls:
        content = ""
    if role not in ROLES or not isinstance(content, str):
        raise InvalidInput(
            f"a message needs a text as its content and a role ({', '.join(ROLES)}); got {role!r}"
        )
    kept: dict[str, Any] = {"role": role, "content": content}
    for name in _TEXTS:
        if (text := message.get(name)) is not None:
            if not isinstance(text, str):
                raise InvalidInput(f"the {name} of a message must be a text")
            kept[name] = text
    if calls:
        if role != "assistant" or not isinstance(calls, list | tuple):
            raise InvalidInput("tool_calls is a list in a message of the assistant")
        kept["tool_calls"] = [_check_call(call) for call in calls]
    return kept


def check_tools(call: dict[str, Any], *, with_messages: bool) -> None:
    """Check `tools` and `tool_choice` of a call, in place. Raises InvalidInput.

    Tools are kept as text, because the database does not keep the order of their parameters.
    """
    tools, choice = call.get("tools"), call.get("tool_choice")
    if isinstance(tools, str):
        tools = _loaded(tools)
    if tools is None and choice is None:
        return
    if not with_messages:
        raise InvalidInput("tools need messages", hint="give messages instead of a prompt")
    names = [_name_of(tool) for tool in _list_of_tools(tools)]
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, Mapping) else None
    if choice is not None and (not isinstance(choice, str) or choice not in (*CHOICES, *names)):
        raise InvalidInput(
            f"tool_choice is {choice!r}",
            hint=f"it must be {', '.join(CHOICES)} or one of the tools",
        )
    if choice not in (None, "none") and not names:
        raise InvalidInput(f"tool_choice is {choice!r}, but there are no tools")
    if choice is not None:
        call["tool_choice"] = choice
    if tools is not None:
        call["tools"] = _written(tools)


def _check_call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidInput("a tool call needs a function with a name")
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    id_ = call.get("id", "")
    if not isinstance(id_, str):
        raise InvalidInput("the id of a tool call must be a text")
    return {
        "id": id_,
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _list_of_tools(tools: Any) -> Sequence[Any]:
    if tools is None:
        return ()
    if not isinstance(tools, list | tuple):
        raise InvalidInput("tools must be a list of functions")
    return tools


def _name_of(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InvalidInput(
            'a tool must be {"type": "function", "function": {"name": ..., "parameters": ...}}'
        )
    return name


def _written(tools: Any) -> str:
    try:
        text = json.dumps(tools, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"tools cannot be written as JSON: {error}") from None
    if len(text) > MAX_TOOLS:
        raise InvalidInput(f"tools have {len(text)} bytes, {MAX_TOOLS} are allowed")
    return text


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"tools are not valid JSON: {error}") from None
