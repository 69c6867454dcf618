"""A question in OpenAI's words, as far as the many servers agree on them."""

from collections.abc import Mapping
from typing import Any, Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.words import data_url, parts_of
from lmx.workflows.attachments.kinds import TEXT

#: Options that go to the server under their own names.
_SAME: Final = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
)
_OF_A_MESSAGE: Final = ("name", "tool_call_id")


def for_openai(question: Question) -> dict[str, Any]:
    """The parameters of `chat.completions.create`. Raises ProviderError."""
    options = question.options
    request: dict[str, Any] = {
        "model": question.model,
        "messages": [_message(message) for message in question.messages],
        "max_tokens": question.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: options[name] for name in _SAME if name in options},
    }
    if schema := options.get("json_schema"):
        form = {"name": "answer", "schema": schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    if "thinking" in options:  # as vLLM, SGLang and llama-server take it
        thinks = {"enable_thinking": bool(options["thinking"])}
        request["extra_body"] = {"chat_template_kwargs": thinks}
    return request


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message["role"], "content": _content(message)}
    said |= {name: message[name] for name in _OF_A_MESSAGE if name in message}
    if calls := message.get("tool_calls"):
        said["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": call["function"]} for call in calls
        ]
        said["content"] = said["content"] or None
    return said


def _content(message: Mapping[str, Any]) -> Any:
    """A text where there is nothing else: not every server understands parts."""
    parts = parts_of(message)
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return [_part(part) for part in parts]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "image":
        return {"type": "image_url", "image_url": {"url": data_url(part)}}
    if part.get("media_type") == TEXT and "data" in part:
        return {"type": "text", "text": part["data"].decode()}
    file = {"filename": part.get("name", "file.pdf"), "file_data": data_url(part)}
    return {"type": "file", "file": file}
