"""What a request gives the model, and what the text of its answer must look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmx.engine import _core
from lmx.engine.chat_formats import ChatFormat
from lmx.engine.conversation import Message, ToolChoice, ToolSpec, conversation
from lmx.engine.errors import InvalidRequest
from lmx.engine.files import ModelInfo, StrPath, inspect_model
from lmx.engine.grammar import to_core
from lmx.engine.prompts import encodable, given_text


@dataclass(frozen=True, slots=True)
class Form:
    """A checked request: its prompt with the form of its answer, what holds it, where it ends."""

    chat: ChatFormat
    constraint: _core.Constraint | None
    stops: list[str]


def check_request(model: StrPath, **options: Any) -> None:
    """Raises what ``Engine.submit`` would raise for the text options of a request.

    ``options`` are ``prompt`` or ``messages``, ``tools`` and what belongs to them, ``grammar``,
    ``json_schema`` and ``stop``. Nothing is loaded, and no engine is needed.
    """
    form_of(inspect_model(model), **options)


def form_of(
    info: ModelInfo,
    *,
    prompt: str | None = None,
    messages: Sequence[Message] | None = None,
    tools: Sequence[ToolSpec] | None = None,
    tool_choice: ToolChoice | None = None,
    parallel_tool_calls: bool | None = None,
    thinking: bool | None = None,
    template_options: Mapping[str, Any] | None = None,
    grammar: str | None = None,
    json_schema: Mapping[str, Any] | None = None,
    stop: Sequence[str] = (),
) -> Form:
    """Checks all of it against the model's template. Raises InvalidRequest or ModelFileError."""
    chat = None
    if messages is not None:
        chat = conversation(
            messages, tools, tool_choice, parallel_tool_calls, thinking, template_options
        )
    elif tools or template_options:
        raise InvalidRequest("tools and template options need messages=")
    given = given_text(info, prompt, chat)
    stops = [encodable(word) for word in ([stop] if isinstance(stop, str) else stop)]
    constraint = _constraint(given, grammar, json_schema, stops)
    return Form(given, constraint, [*stops, *given.stops])


def _constraint(
    chat: ChatFormat,
    grammar: str | None,
    json_schema: Mapping[str, Any] | None,
    stop: Sequence[str],
) -> _core.Constraint | None:
    """What holds the answer to its form, if anything.

    A grammar or schema is that of the text: where the prompt leaves the model in its reasoning, it
    holds from the end of that on.
    """
    calls = chat.constraint()
    form = to_core(grammar, json_schema)
    if form is None:
        if calls is not None and not chat.lazy and stop:
            raise InvalidRequest(
                "a stop string would cut the tool call short that tool_choice requires; leave out "
                "stop="
            )
        return calls
    if chat.calls_tools:
        raise InvalidRequest("give either tools= or a grammar or schema, and not both")
    if stop:
        raise InvalidRequest(
            "a stop string would cut a text short of its grammar; leave out stop= or the grammar"
        )
    if chat.begins_with_reasoning:
        return _core.Constraint(form, triggers=[chat.reasoning_end], behind_trigger=True)
    return _core.Constraint(form)
