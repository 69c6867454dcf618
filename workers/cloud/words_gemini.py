"""A question in Gemini's words, as plain JSON-like values that its SDK takes."""

import base64
import mimetypes
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.words import arguments_of, parts_of, text_of

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
)


#: What Gemini takes in place of a signature of its own, for calls that another model has made.
_NO_SIGNATURE: Final = b"skip_thought_signature_validator"
_LEVELS: Final = {"max": "XHIGH"}


def contents(question: Question) -> list[dict[str, Any]]:
    """The turns of the conversation. Raises ProviderError for what cannot be said so."""
    names: dict[str, str] = {}
    turns: list[dict[str, Any]] = []
    for message in question.messages:
        if message["role"] == "system":
            continue
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        turn = _turn(message, names, signed=not question.model.startswith("gemini-2"))
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
    system = [text_of(message) for message in question.messages if message["role"] == "system"]
    if system:
        settings["system_instruction"] = "\n\n".join(system)
    if stop := options.get("stop"):
        settings["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if schema := options.get("json_schema"):
        settings["response_mime_type"] = "application/json"
        settings["response_json_schema"] = schema
    if tools := options.get("tools"):
        settings["tools"] = [{"function_declarations": [_tool(tool) for tool in tools]}]
        settings["tool_config"] = {
            "function_calling_config": _calling(options.get("tool_choice", "auto"))
        }
    if thinking := _thinking(options):
        settings["thinking_config"] = thinking
    return settings


def _turn(message: Mapping[str, Any], names: Mapping[str, str], *, signed: bool) -> dict[str, Any]:
    role = message["role"]
    if role == "tool":
        name = names.get(message["tool_call_id"], message.get("name", ""))
        answer = {"name": name, "response": {"result": text_of(message)}}
        return {"role": "user", "parts": [{"function_response": answer}]}
    parts = [_part(part) for part in parts_of(message)]
    for place, call in enumerate(message.get("tool_calls") or ()):
        parts.append(_call(call, needs_signature=signed and place == 0))
    return {"role": "model" if role == "assistant" else "user", "parts": parts}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """A text, a file by reference, or all of it."""
    if part["type"] == "text":
        return {"text": part["text"]}
    if "url" not in part:
        return {"inline_data": {"mime_type": part["media_type"], "data": part["data"]}}
    guessed = mimetypes.guess_type(urlsplit(part["url"]).path)[0]
    otherwise = "image/jpeg" if part["type"] == "image" else "application/pdf"
    kind = part.get("media_type") or guessed or otherwise
    return {"file_data": {"file_uri": part["url"], "mime_type": kind}}


def _call(call: Mapping[str, Any], *, needs_signature: bool) -> dict[str, Any]:
    name = call["function"]["name"]
    part: dict[str, Any] = {"function_call": {"name": name, "args": arguments_of(call)}}
    if signature := call.get("signature"):
        part["thought_signature"] = base64.b64decode(signature)
    elif needs_signature:
        part["thought_signature"] = _NO_SIGNATURE
    return part


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


def _thinking(options: Mapping[str, Any]) -> dict[str, Any]:
    """`true` shows the thoughts, a number is their budget in tokens, `false` switches them off."""
    thinking, effort = options.get("thinking"), options.get("reasoning_effort")
    if thinking is False or effort == "none":
        return {"thinking_budget": 0}
    told: dict[str, Any] = {"include_thoughts": True} if thinking else {}
    if effort is not None:
        told["thinking_level"] = _LEVELS.get(effort, effort.upper())
    elif thinking is not None and thinking is not True:
        told["thinking_budget"] = thinking
    return told
