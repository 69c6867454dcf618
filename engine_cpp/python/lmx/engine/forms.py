"""What the text of a request must look like, from its options and from its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmx.engine import _core
from lmx.engine.chat_formats import ChatFormat
from lmx.engine.errors import InvalidRequest
from lmx.engine.grammar import to_core


def constraint_of(
    chat: ChatFormat,
    grammar: str | None,
    json_schema: Mapping[str, Any] | None,
    stop: Sequence[str],
) -> _core.Constraint | None:
    """What holds the answer to its form, if anything. Raises InvalidRequest.

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
