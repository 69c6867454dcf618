"""The child process that applies chat templates and reads answers: ``-m lmx.engine.chat_service``.

Templates come with downloads and answers from models, and both can crash or hang the library. Each
line of the standard input is a question in JSON, each line of the standard output its answer.
"""

from __future__ import annotations

import json
import resource
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lmx.engine import _chat, _core
from lmx.engine.errors import InvalidRequest

_CPU_S = 2  # of computing for one question
_MEMORY = 1 << 30  # bytes beside what is mapped at the start
_KEPT = 64  # templates and parsers

T = TypeVar("T")

_templates: OrderedDict[str, _chat.ChatTemplate] = OrderedDict()
_parsers: OrderedDict[str, _chat.AnswerParser] = OrderedDict()


def main() -> None:
    _limit_memory()
    for line in sys.stdin.buffer:
        _allow_computing()
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        return _apply(**question) if question.pop("do") == "apply" else _parse(**question)
    except (_chat.ChatError, InvalidRequest) as error:
        return {"error": str(error)}
    except (MemoryError, RecursionError, UnicodeError, TypeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _apply(template: str, bos: str, eos: str, conversation: dict[str, Any]) -> dict[str, Any]:
    """The prompt, and how its answer is to be read and constrained."""
    key = json.dumps([template, bos, eos])
    known = _kept(_templates, key, lambda: _chat.ChatTemplate(template, bos, eos))
    capabilities = known.capabilities()
    parallel = conversation["parallel"]
    if parallel is None:
        parallel = capabilities.get("supports_parallel_tool_calls", False)

    def applied(choice: str) -> _chat.ChatFormat:
        return known.apply(
            _chat.Conversation(
                [_message(message) for message in conversation["messages"]],
                [_chat.Tool(**tool) for tool in conversation["tools"]],
                _chat.ToolChoice[choice],
                parallel,
                conversation["thinking"] is not False,
                conversation["options"],
            )
        )

    form = applied(conversation["tool_choice"])
    rules = _core.parse_gbnf(form.grammar) if conversation["tools"] and form.grammar else None
    mark = ""
    if conversation["tool_choice"] == "required" and rules is not None and not form.thinks:
        mark = _first_mark(rules, form.generation_prompt, applied("auto").triggers)
    return {
        "prompt": form.prompt + mark,
        "generation_prompt": form.generation_prompt + mark,
        "rules": rules,
        "lazy": form.grammar_is_lazy,
        "triggers": form.triggers,
        "preserved": form.preserved,
        "stops": form.stops,
        "thinks": form.thinks,
        "thinking_start": form.thinking_start,
        "thinking_ends": form.thinking_ends,
        "kind": form.kind,
        "parser": form.parser,
        "calls_tools": capabilities.get("supports_tool_calls", False),
    }


def _first_mark(rules: Any, opening: str, marks: list[str]) -> str:
    """The mark that begins a call, if one can be written for the model right after the opening.

    Otherwise the library lets a model talk for as long as it likes before the call it must make.
    """
    if marks:
        grammar = _core.Grammar(rules)
        if grammar.allows((opening + marks[0]).encode()):
            return marks[0]
    return ""


def _message(message: dict[str, Any]) -> _chat.ChatMessage:
    calls = [_chat.ToolCall(**call) for call in message["tool_calls"]]
    return _chat.ChatMessage(**(message | {"tool_calls": calls}))


def _parse(
    kind: int, parser: str | None, key: str, generation_prompt: str, text: str, partial: bool
) -> dict[str, Any]:
    """What the answer says so far; {"unknown": true} when the parser must be sent again."""
    if parser is None and key not in _parsers:
        return {"unknown": True}
    known = _kept(_parsers, key, lambda: _chat.AnswerParser(kind, parser or "", generation_prompt))
    message = known.parse(text, partial)
    return {
        "text": message.content,
        "reasoning": message.reasoning,
        "tool_calls": [[call.id, call.name, call.arguments] for call in message.tool_calls],
    }


def _kept(store: OrderedDict[str, T], key: str, make: Callable[[], T]) -> T:
    if key not in store:
        store[key] = make()
        if len(store) > _KEPT:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]


def _allow_computing() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + _CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mapped = Path("/proc/self/statm")
    if mapped.exists():
        limit = int(mapped.read_text().split()[0]) * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main()
