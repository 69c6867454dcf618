"""What a provider is asked, and what it answers: one form for all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lmx.workflows.providers.pricing import Tokens

_CHOICES: Final = ("auto", "none", "required")

FinishReason = Literal["stop", "length", "tool_calls", "refusal"]


@dataclass(frozen=True, slots=True)
class Question:
    """A call: `messages` in OpenAI's form, options as the task's input has them."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, call: Mapping[str, Any]) -> "Question":
        """The question that a task's input holds; a prompt is the user's only message."""
        messages = call.get("messages") or [{"role": "user", "content": call["prompt"]}]
        known = ("model", "messages", "prompt", "max_tokens", "account")
        options = {name: value for name, value in call.items() if name not in known}
        if isinstance(options.get("tools"), str):  # kept as text, which keeps their order
            options["tools"] = json.loads(options["tools"])
        if options.get("tool_choice", "auto") not in _CHOICES:
            function = {"name": options["tool_choice"]}
            options["tool_choice"] = {"type": "function", "function": function}
        return cls(call["model"], messages, call["max_tokens"], options)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model wishes; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `stop_reason` is the provider's own word; `told` what its headers say of
    its limits, by the limit's name."""

    text: str
    finish_reason: FinishReason
    tokens: Tokens
    model: str
    stop_reason: str | None = None
    reasoning: str = ""
    reasoning_tokens: int = 0
    tool_calls: Sequence[ToolCall] = ()
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
            told["tool_calls"] = [
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in self.tool_calls
            ]
        return told
