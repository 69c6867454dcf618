"""A question in Anthropic's words. Messages are in OpenAI's form, which most people know."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.words import arguments_of, base64_of, parts_of
from lmx.workflows.attachments.kinds import TEXT

_TOOL_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
#: What the current API takes no more as a named parameter, and older models still obey.
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_EFFORTS: Final = {"minimal": "low"}


def for_anthropic(question: Question) -> dict[str, Any]:
    """The parameters of `messages.stream`. Raises ProviderError for what cannot be said so."""
    options = question.options
    request: dict[str, Any] = {
        "model": question.model,
        "max_tokens": question.max_tokens,
        "messages": _merged(_turn(message) for message in _spoken(question.messages)),
    }
    if system := _system(question.messages):
        request["system"] = system
    if stop := options.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if tools := options.get("tools"):
        request["tools"] = [_tool(tool) for tool in tools]
        request["tool_choice"] = _tool_choice(options)
    output = _output(options)
    if output:
        request["output_config"] = output
    thinking = options.get("thinking")
    if options.get("reasoning_effort") == "none":
        thinking = False
    if thinking is not None:
        request["thinking"] = _thinking(thinking)
    if extra := {name: options[name] for name in _SAMPLING if name in options}:
        request["extra_body"] = extra
    return request


def _spoken(messages: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (message for message in messages if message["role"] != "system")


def _system(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The system prompt; up to a mark, all that comes before is kept by the provider."""
    return [_part(part) for one in messages if one["role"] == "system" for part in parts_of(one)]


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message["role"]
    blocks = [_part(part) for part in parts_of(message)]
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": blocks}
        if mark := blocks[-1].pop("cache_control", None) if blocks else None:
            result["cache_control"] = mark
        return {"role": "user", "content": [result]}
    blocks = [*map(dict, message.get("thinking_blocks") or ()), *blocks]
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


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    block: dict[str, Any]
    if part["type"] == "text":
        block = {"type": "text", "text": part["text"]}
    elif part["type"] == "image":
        block = {"type": "image", "source": _source(part)}
    else:
        block = {"type": "document", "source": _source(part)}
        if name := part.get("name"):
            block["title"] = name
    if cache := part.get("cache"):
        block["cache_control"] = {"type": "ephemeral", **({"ttl": "1h"} if cache == "1h" else {})}
    return block


def _source(part: Mapping[str, Any]) -> dict[str, str]:
    """By reference, or all of it."""
    if "url" in part:
        return {"type": "url", "url": part["url"]}
    if part["media_type"] == TEXT:
        return {"type": "text", "media_type": TEXT, "data": part["data"].decode()}
    return {"type": "base64", "media_type": part["media_type"], "data": base64_of(part)}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }


def _tool_choice(options: Mapping[str, Any]) -> dict[str, Any]:
    choice = options.get("tool_choice", "auto")
    if isinstance(choice, str):
        told: dict[str, Any] = {"type": _TOOL_CHOICES.get(choice, "auto")}
    else:
        told = {"type": "tool", "name": choice["function"]["name"]}
    if options.get("parallel_tool_calls") is False and told["type"] != "none":
        told["disable_parallel_tool_use"] = True
    return told


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier call of the model's own."""
    name = call["function"]["name"]
    return {"type": "tool_use", "id": call["id"], "name": name, "input": arguments_of(call)}


def _output(options: Mapping[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if schema := options.get("json_schema"):
        output["format"] = {"type": "json_schema", "schema": schema}
    effort = options.get("reasoning_effort", "none")
    if effort != "none":
        output["effort"] = _EFFORTS.get(effort, effort)
    return output


def _thinking(thinking: bool | int) -> dict[str, Any]:
    """`true` lets the model decide, a number is its budget in tokens, `false` switches it off."""
    if thinking is False:
        return {"type": "disabled"}
    if thinking is True:
        return {"type": "adaptive", "display": "summarized"}
    return {"type": "enabled", "budget_tokens": thinking, "display": "summarized"}
