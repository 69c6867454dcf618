"""A run led by a model: it says what to spawn, sees the results, and ends when it has an answer.

A model whose chat template knows tools calls `spawn` and `answer`. Another one answers each turn
with one JSON object: `{"spawn": [{"prompt": ...}]}` asks for workers, `{"answer": ...}` ends the
run. The run's budget and the bounds on turns and workers hold whatever the model asks for.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lmx.workflows.coordinators import Child, Context
from lmx.workflows.errors import InvalidInput, TaskFailed
from lmx.workflows.registry import coordinator

_PROTOCOL: Final = """You lead a team of workers. Answer with one JSON object and nothing else.
To give out work: {"spawn": [{"prompt": "a complete instruction for one worker"}, ...]}
To end: {"answer": "the final answer"}
A worker sees only its own prompt. You have {turns} turns, each of up to {workers} workers."""

_WITH_TOOLS: Final = """You lead a team of workers: give out work by spawn, end by answer.
You have {turns} turns, each of up to {workers} workers."""

TOOLS: Final[list[dict[str, Any]]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"}},
                "required": [argument],
            },
        },
    }
    for name, argument, description in (
        ("spawn", "prompt", "Give a worker a complete instruction; it sees nothing else."),
        ("answer", "answer", "End with the final answer."),
    )
]

_AGAIN: Final = (
    "That was not one JSON object with either 'spawn' or 'answer' ({reason}). Try again."
)


@coordinator(name="agent")
def agent(
    ctx: Context,
    goal: str,
    model: str | None = None,
    worker_model: str | None = None,
    max_turns: int = 8,
    max_workers: int = 8,
    max_tokens: int = 512,
    route: str | None = None,
    worker_route: str | None = None,
) -> dict[str, Any]:
    """Let a model reach a goal by spawning workers; returns its answer and the number of turns.

    Where a route is named in place of a model, each turn's model is chosen by itself.
    """
    _check_bounds(max_turns, max_workers)
    lead_by = _chosen(model, route)
    work_by = _chosen(worker_model, worker_route) if worker_model or worker_route else lead_by
    calls_tools = model is not None and ctx.chat_features(model)["tools"]
    protocol = _WITH_TOOLS if calls_tools else _PROTOCOL
    protocol = protocol.replace("{turns}", str(max_turns)).replace("{workers}", str(max_workers))
    offer: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"} if calls_tools else {}
    messages: list[dict[str, Any]] = [_said("system", protocol), _said("user", goal)]
    session = f"lead of {ctx.task_id}"
    for turn in range(1, max_turns + 1):
        lead = ctx.generate(
            key="lead",
            **lead_by,
            messages=messages,
            max_tokens=max_tokens,
            session=session,
            **offer,
        )
        said = ctx.gather(lead)[0]
        calls = said.get("tool_calls", [])
        messages.append(_said("assistant", said["text"]) | _kept(said))
        try:
            wish = _wish(calls, max_workers) if calls else parse(said["text"], max_workers)
        except InvalidInput as error:
            complaint = _AGAIN.replace("{reason}", error.message)
            messages += _results(calls, [error.message] * len(calls)) or [_said("user", complaint)]
            continue
        if isinstance(wish, str):
            return {"answer": wish, "turns": turn}
        children = [_spawn(ctx, prompt, work_by, max_tokens) for prompt in wish]
        results = ctx.gather(*children, return_exceptions=True)
        messages += _results(calls, results) or [_said("user", _report(results))]
    raise TaskFailed(f"the model gave no answer within {max_turns} turns")


def _kept(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of an answer goes back to the model beside its text."""
    names = ("tool_calls", "thinking_blocks") if said.get("tool_calls") else ()
    return {name: said[name] for name in names if name in said}


def parse(text: str, max_workers: int) -> str | list[str]:
    """Read a model's wish: its answer, or the prompts of the workers it asks for.

    Takes the first JSON object within the text. Raises InvalidInput saying what is wrong.
    """
    wish = next(_objects(text), None)
    if wish is None:
        raise InvalidInput("there is no JSON object in it")
    if "answer" in wish:
        return wish["answer"] if isinstance(wish["answer"], str) else json.dumps(wish["answer"])
    work = wish.get("spawn")
    if not isinstance(work, list) or not work:
        raise InvalidInput("it has neither 'answer' nor a list 'spawn'")
    if len(work) > max_workers:
        raise InvalidInput(f"it asks for {len(work)} workers, {max_workers} are allowed")
    return [_prompt_of(one) for one in work]


def _wish(calls: Sequence[Mapping[str, Any]], max_workers: int) -> str | list[str]:
    """What a model wishes by its tool calls; as `parse` does for a text."""
    asked = [(call["function"]["name"], _arguments_of(call)) for call in calls]
    for name, arguments in asked:
        if name == "answer":
            return str(arguments.get("answer", ""))
    if len(asked) > max_workers:
        raise InvalidInput(f"it asks for {len(asked)} workers, {max_workers} are allowed")
    return [_prompt_of(arguments) for _, arguments in asked]


def _arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments: Any = json.loads(call["function"]["arguments"])
    return arguments if isinstance(arguments, dict) else {}


def _results(calls: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages that give calls their results."""
    return (
        [
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "name": call["function"]["name"],
                "content": _told(result),
            }
            for call, result in zip(calls, results, strict=True)
        ]
        if calls
        else []
    )


def _told(result: Any) -> str:
    return result["text"] if isinstance(result, dict) else str(result)


def _prompt_of(work: Any) -> str:
    prompt = work.get("prompt") if isinstance(work, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidInput("each worker needs a 'prompt'")
    return prompt


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character == "{":
            try:
                found, _ = decoder.raw_decode(text, start)
            except json.JSONDecodeError:
                continue
            if isinstance(found, dict):
                yield found


def _chosen(model: str | None, route: str | None) -> dict[str, Any]:
    if (model is None) == (route is None):
        raise InvalidInput("an agent needs either a model or a route")
    return {"route": route} if route else {"model": str(model)}


def _spawn(ctx: Context, prompt: str, by: Mapping[str, Any], most: int) -> Child[dict[str, Any]]:
    return ctx.generate(key="worker", messages=[_said("user", prompt)], max_tokens=most, **by)


def _report(results: Sequence[Any]) -> str:
    lines = []
    for number, result in enumerate(results, 1):
        lines.append(f"Worker {number}: {_told(result)}")
    return "\n\n".join(lines)


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _check_bounds(max_turns: int, max_workers: int) -> None:
    for name, value in (("max_turns", max_turns), ("max_workers", max_workers)):
        if not 1 <= value <= 100:
            raise InvalidInput(f"{name} is {value}", hint="it must be from 1 to 100")
