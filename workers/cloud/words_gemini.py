"""A question in Gemini's words, as plain JSON-like values that its SDK takes."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import Failure, ProviderError

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
)


def contents(question: Question) -> list[dict[str, Any]]:
    """The turns of the conversation. Raises ProviderError for what cannot be said so."""
    names = _tool_names(question.messages)
    turns: list[dict[str, Any]] = []
    for message in question.messages:
        if message["role"] == "system":
            continue
        turn = _turn(message, names)
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["parts"] += turn["parts"]
        else:
            turns.append(turn)
    return turns


def config(question: Question) -> dict[str, Any]:
    """The generation's settings; the SDK's hidden extra requests are switched off."""
    options = question.options
    settings: dict[str, Any] = {
        "max_output_tokens": question.max_tokens,
        "automatic_continuation": False,
        "automatic_function_calling": {"disable": True},
        **{name: options[name] for name in _SAMPLING if name in options},
    }
    system = [m["content"] for m in question.messages if m["role"] == "system"]
    if system:
        settings["system_instruction"] = "\n\n".join(system)
    if stop := options.get("stop"):
        settings["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if schema := options.get("json_schema"):
        settings["response_mime_type"] = "application/json"
        settings["response_json_schema"] = json.loads(schema) if isinstance(schema, str) else schema
    if tools := options.get("tools"):
        settings["tools"] = [{"function_declarations": [_tool(tool) for tool in tools]}]
        settings["tool_config"] = {
            "function_calling_config": _calling(options.get("tool_choice", "auto"))
        }
    if "thinking" in options:
        settings["thinking_config"] = _thinking(options["thinking"])
    return settings


def _turn(message: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        name = names.get(message["tool_call_id"], message.get("name", ""))
        answer = {"name": name, "response": {"result": content or ""}}
        return {"role": "user", "parts": [{"function_response": answer}]}
    parts = list(_parts(content))
    parts += [_call(call) for call in message.get("tool_calls") or ()]
    return {"role": "model" if role == "assistant" else "user", "parts": parts}


def _parts(content: Any) -> Iterable[dict[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"text": content}
        return
    for part in content or ():
        match part.get("type"):
            case "text":
                yield {"text": part["text"]}
            case "image_url":
                yield _file(part["image_url"]["url"])
            case "file":
                yield _file(part["file"]["url"])
            case other:
                raise ProviderError(Failure.INVALID, f"a part of kind {other!r} cannot be sent")


def _file(url: str) -> dict[str, Any]:
    """By reference, or inline as `data:image/png;base64,...`."""
    if not url.startswith("data:"):
        return {"file_data": {"file_uri": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    try:
        return {"inline_data": {"mime_type": kind, "data": base64.b64decode(data, validate=True)}}
    except ValueError:
        raise ProviderError(Failure.INVALID, "a file's data is not base64") from None


def _tool_names(messages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The name of each called tool by the call's id: Gemini answers by name."""
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    return {call["id"]: call.get("function", call)["name"] for call in calls}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    arguments = function.get("arguments") or "{}"
    try:
        args = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        name = function.get("name")
        raise ProviderError(Failure.INVALID, f"the arguments of {name} are no JSON") from None
    return {"function_call": {"name": function["name"], "args": args}}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    declared = {"name": function["name"], "description": function.get("description", "")}
    if parameters := function.get("parameters"):
        declared["parameters_json_schema"] = parameters
    return declared


def _calling(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"mode": _MODES.get(choice, "AUTO")}
    return {"mode": "ANY", "allowed_function_names": [choice["function"]["name"]]}


def _thinking(thinking: Any) -> dict[str, Any]:
    """`true` shows the thoughts, a number is their budget in tokens, `false` switches them off."""
    if isinstance(thinking, bool):
        return {"include_thoughts": True} if thinking else {"thinking_budget": 0}
    if isinstance(thinking, int):
        return {"include_thoughts": True, "thinking_budget": thinking}
    return dict(thinking)
