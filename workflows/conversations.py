"""Messages and tools in OpenAI's form, as far as they can be checked without a model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lmx.workflows.attachments.parts import File, check_cache, check_parts, sources_of
from lmx.workflows.errors import InvalidInput

ROLES: Final = ("system", "user", "assistant", "tool")
CHOICES: Final = ("auto", "none", "required")
#: Bytes of all tools of a call.
MAX_TOOLS: Final = 262_144

_TEXTS: Final = ("name", "tool_call_id", "reasoning")


def check_message(message: Mapping[str, Any], files: dict[str, File]) -> dict[str, Any]:
    """A message as it is kept; the files that it brings go to `files`. Raises InvalidInput."""
    role, content = message.get("role"), message.get("content")
    calls = message.get("tool_calls") or []
    if content is None and calls:
        content = ""
    if role not in ROLES or not isinstance(content, str | list | tuple):
        raise InvalidInput(
            f"a message needs a text or a list of parts as its content and a role"
            f" ({', '.join(ROLES)}); got {role!r}"
        )
    if not isinstance(content, str):
        content = check_parts(content, role, files)
    kept: dict[str, Any] = {"role": role, "content": content}
    if message.get("cache"):
        kept["cache"] = check_cache(message["cache"])
    if blocks := message.get("thinking_blocks"):
        kept["thinking_blocks"] = _check_blocks(blocks, role)
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


def as_plain_texts(messages: Sequence[dict[str, Any]]) -> None:
    """Bring messages into the form that local models take. Raises InvalidInput for images."""
    if sources_of(messages):
        raise InvalidInput(
            "a local model takes text only, no images and no files",
            hint="choose a cloud model: `lmx models list` shows which of them read images",
        )
    for message in messages:
        message.pop("cache", None)
        message.pop("thinking_blocks", None)
        if not isinstance(message["content"], str):
            message["content"] = "\n".join(part["text"] for part in message["content"])


def text_bytes(message: Mapping[str, Any]) -> int:
    """The bytes of a message's texts, those of its tool calls too."""
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    size = sum(len(text.encode()) for text in (*texts, message.get("reasoning", "")))
    others = (*message.get("tool_calls", ()), *message.get("thinking_blocks", ()))
    return size + sum(len(json.dumps(other).encode()) for other in others)


def cache_marks(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many messages and parts are marked to be cached."""
    parts = [
        part for one in messages if isinstance(one["content"], list) for part in one["content"]
    ]
    return sum(bool(one.get("cache")) for one in (*messages, *parts))


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
    kept = {
        "id": id_,
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
    if (signature := call.get("signature")) is not None:
        if not isinstance(signature, str):
            raise InvalidInput("the signature of a tool call must be a text")
        kept["signature"] = signature
    return kept


def _check_blocks(blocks: Any, role: str) -> list[dict[str, Any]]:
    """The thinking of an earlier answer, which its provider wants back as it was."""
    if role != "assistant" or not isinstance(blocks, list | tuple):
        raise InvalidInput("thinking_blocks is a list in a message of the assistant")
    for block in blocks:
        texts = isinstance(block, Mapping) and all(isinstance(v, str) for v in block.values())
        if not texts or block.get("type") not in ("thinking", "redacted_thinking"):
            raise InvalidInput("thinking_blocks are given back as an answer had them")
    return [dict(block) for block in blocks]


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
