"""A question in Anthropic's words. Messages are in OpenAI's form, which most people know."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import Failure, ProviderError

_TOOL_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
#: What the current API takes no more as a named parameter, and older models still obey.
_SAMPLING: Final = ("temperature", "top_p", "top_k")


def for_anthropic(question: Question) -> dict[str, Any]:
    """The parameters of `messages.stream`. Raises ProviderError for what cannot be said so."""
    options = question.options
    request: dict[str, Any] = {
        "model": question.model,
        "max_tokens": question.max_tokens,
        "messages": _merged(_turn(message) for message in _spoken(question.messages)),
    }
    if system := _system(question.messages, cache=bool(options.get("cache"))):
        request["system"] = system
    if stop := options.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if tools := options.get("tools"):
        request["tools"] = [_tool(tool) for tool in tools]
        request["tool_choice"] = _tool_choice(options.get("tool_choice", "auto"))
    output = _output(options)
    if output:
        request["output_config"] = output
    if thinking := options.get("thinking"):
        request["thinking"] = _thinking(thinking)
    if extra := {name: options[name] for name in _SAMPLING if name in options}:
        request["extra_body"] = extra
    return request


def _spoken(messages: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (message for message in messages if message["role"] != "system")


def _system(messages: Sequence[Mapping[str, Any]], *, cache: bool) -> list[dict[str, Any]]:
    """The system prompt; with `cache`, all that comes before its end is kept by the provider."""
    texts = [message["content"] for message in messages if message["role"] == "system"]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    if blocks and cache:
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        result = {
            "type": "tool_result",
            "tool_use_id": message["tool_call_id"],
            "content": content or "",
        }
        return {"role": "user", "content": [result]}
    blocks = _blocks(content)
    blocks += [_tool_use(call) for call in message.get("tool_calls") or ()]
    return {"role": role, "content": blocks}


def _merged(turns: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of several tools belong into one message of the user's."""
    merged: list[dict[str, Any]] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1]["content"] += turn["content"]
        else:
            merged.append(turn)
    return merged


def _blocks(content: Any) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image_url":
            return {"type": "image", "source": _source(part["image_url"]["url"])}
        case "file":
            return {"type": "document", "source": _source(part["file"]["url"])}
        case other:
            raise ProviderError(Failure.INVALID, f"a part of kind {other!r} cannot be sent")


def _source(url: str) -> dict[str, str]:
    """By reference, or inline as `data:image/png;base64,...`."""
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"type": _TOOL_CHOICES.get(choice, "auto")}
    return {"type": "tool", "name": choice["function"]["name"]}


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier call of the model's own; its arguments come as JSON text."""
    function = call.get("function", call)
    arguments = function.get("arguments") or "{}"
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        name = function.get("name")
        raise ProviderError(Failure.INVALID, f"the arguments of {name} are no JSON") from None
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": parsed}


def _output(options: Mapping[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if schema := options.get("json_schema"):
        parsed = json.loads(schema) if isinstance(schema, str) else schema
        output["format"] = {"type": "json_schema", "schema": parsed}
    if effort := options.get("effort"):
        output["effort"] = effort
    return output


def _thinking(thinking: Any) -> dict[str, Any]:
    """`true` lets the model decide, a number is its budget in tokens, `false` switches it off."""
    if isinstance(thinking, bool):
        return {"type": "adaptive"} if thinking else {"type": "disabled"}
    if isinstance(thinking, int):
        return {"type": "enabled", "budget_tokens": thinking}
    return dict(thinking)
