"""A run led by a model: it says what to spawn, sees the results, and ends when it has an answer.

The model answers each turn with one JSON object: `{"spawn": [{"prompt": ...}]}` asks for workers,
`{"answer": ...}` ends the run. The run's budget and the bounds on turns and workers hold whatever
the model asks for.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from lmx.workflows.coordinators import Child, ChildFailed, Context
from lmx.workflows.errors import BudgetExceeded, InvalidInput, TaskFailed
from lmx.workflows.registry import coordinator

_PROTOCOL: Final = """You lead a team of workers. Answer with one JSON object and nothing else.
To give out work: {"spawn": [{"prompt": "a complete instruction for one worker"}, ...]}
To end: {"answer": "the final answer"}
A worker sees only its own prompt. You have {turns} turns, each of up to {workers} workers."""

_AGAIN: Final = (
    "That was not one JSON object with either 'spawn' or 'answer' ({reason}). Try again."
)


@coordinator(name="agent")
def agent(
    ctx: Context,
    goal: str,
    model: str,
    worker_model: str | None = None,
    max_turns: int = 8,
    max_workers: int = 8,
    max_tokens: int = 512,
) -> dict[str, Any]:
    """Let a model reach a goal by spawning workers; returns its answer and the number of turns."""
    _check_bounds(max_turns, max_workers)
    protocol = _PROTOCOL.replace("{turns}", str(max_turns)).replace("{workers}", str(max_workers))
    messages = [_said("system", protocol), _said("user", goal)]
    session = f"lead of {ctx.task_id}"
    for turn in range(1, max_turns + 1):
        lead = ctx.generate(
            key="lead", model=model, messages=messages, max_tokens=max_tokens, session=session
        )
        text = ctx.gather(lead)[0]["text"]
        messages.append(_said("assistant", text))
        try:
            wish = parse(text, max_workers)
        except InvalidInput as error:
            messages.append(_said("user", _AGAIN.replace("{reason}", error.message)))
            continue
        if isinstance(wish, str):
            return {"answer": wish, "turns": turn}
        children = [_spawn(ctx, prompt, worker_model or model, max_tokens) for prompt in wish]
        messages.append(_said("user", _report(ctx.gather(*children, return_exceptions=True))))
    raise TaskFailed(f"the model gave no answer within {max_turns} turns")


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


def _spawn(ctx: Context, prompt: str, model: str, most: int) -> Child[dict[str, Any]]:
    return ctx.generate(
        key="worker", model=model, messages=[_said("user", prompt)], max_tokens=most
    )


def _report(results: Sequence[Any]) -> str:
    lines = []
    for number, result in enumerate(results, 1):
        failed = isinstance(result, ChildFailed | BudgetExceeded)
        lines.append(f"Worker {number}: {result if failed else result['text']}")
    return "\n\n".join(lines)


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _check_bounds(max_turns: int, max_workers: int) -> None:
    for name, value in (("max_turns", max_turns), ("max_workers", max_workers)):
        if not 1 <= value <= 100:
            raise InvalidInput(f"{name} is {value}", hint="it must be from 1 to 100")
