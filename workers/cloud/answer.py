"""What a provider is asked, and what it answers: one form for all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.providers.pricing import Tokens

_CHOICES: Final = ("auto", "none", "required")

FinishReason = Literal["stop", "length", "tool_calls", "refusal"]


@dataclass(frozen=True, slots=True)
class Question:
    """A call: `messages` in OpenAI's form, options as the task's input has them.

    Images and files of messages have their bytes as `data`, unless they have a `url`.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, call: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> "Question":
        """The question that a task's input holds; a prompt is the user's only message.

        `files` are those that it refers to, by their hashes. Raises ProviderError.
        """
        messages = call.get("messages") or [{"role": "user", "content": call["prompt"]}]
        messages = [_with_files(message, files or {}) for message in messages]
        known = ("model", "messages", "prompt", "max_tokens", "account")
        options = {name: value for name, value in call.items() if name not in known}
        for name in ("tools", "json_schema"):  # kept as text, which keeps their order
            if isinstance(options.get(name), str):
                options[name] = _parsed(name, options[name])
        if options.get("tool_choice", "auto") not in _CHOICES:
            function = {"name": options["tool_choice"]}
            options["tool_choice"] = {"type": "function", "function": function}
        return cls(call["model"], messages, call["max_tokens"], options)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model wishes; `arguments` is JSON text as the model wrote it.

    `signature` is what its provider wants to see again when the call is given back.
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None

    def output(self) -> dict[str, Any]:
        """In OpenAI's form, so that it can be given back in a message as it is."""
        told: dict[str, Any] = {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }
        return told if self.signature is None else {**told, "signature": self.signature}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `stop_reason` is the provider's own word; `told` what its headers say of
    its limits, by the limit's name. `thinking_blocks` go back to the provider with tool calls."""

    text: str
    finish_reason: FinishReason
    tokens: Tokens
    model: str
    stop_reason: str | None = None
    reasoning: str = ""
    reasoning_tokens: int = 0
    tool_calls: Sequence[ToolCall] = ()
    thinking_blocks: Sequence[Mapping[str, Any]] = ()
    request_id: str | None = None
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def output(self) -> dict[str, Any]:
        """The task's output: what is empty is left out, the text never."""
        told: dict[str, Any] = {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "model": self.model,
        }
        if self.reasoning:
            told["reasoning"] = self.reasoning
        if self.tool_calls:
            told["tool_calls"] = [call.output() for call in self.tool_calls]
        if self.tool_calls and self.thinking_blocks:
            told["thinking_blocks"] = [dict(block) for block in self.thinking_blocks]
        return told


def _with_files(message: Mapping[str, Any], files: Mapping[str, bytes]) -> Mapping[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_with_file(part, files) for part in content]}


def _with_file(part: Mapping[str, Any], files: Mapping[str, bytes]) -> Mapping[str, Any]:
    if "sha256" not in part:
        return part
    if (data := files.get(part["sha256"])) is None:
        name = part.get("name") or part["sha256"][:12]
        raise ProviderError(Failure.INVALID, f"the file {name} is kept no more: submit it again")
    return {**part, "data": data}


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProviderError(Failure.INVALID, f"{name} is not valid JSON: {error}") from None
