"""`lmx enqueue`: one task, a call of a model or of a worker function."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import (
    AsJson,
    Deadline,
    IdempotencyKey,
    Labels,
    Priority,
    Private,
    Timeout,
)

PANEL = "Work"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "enqueue",
        rich_help_panel=PANEL,
        epilog=examples(
            "lmx enqueue 'Why is the sky blue?' --wait",
            "cat notes.md | lmx enqueue 'Summarise this' --model qwen --wait",
            "lmx enqueue --route research 'Compare these papers' --budget 0.05 --wait",
            "lmx enqueue --route bulk --explain <page.html 'Give it a title'",
            "lmx enqueue 'Describe Ada.' --json-schema @person.json --wait",
            "lmx enqueue 'What is the weather in Rome?' --tools @tools.json --wait",
            "lmx enqueue 'Name a colour' -o min_p=0.1 -o dry_multiplier=0.8 --no-thinking",
            "lmx enqueue --file prompt.txt --idempotency-key job-17 --budget 0.05",
            "lmx enqueue 'What is it?' --image photo.jpg --file manual.pdf -m claude-haiku-5-5",
            "lmx enqueue 'Summarise: ...' --model claude-haiku-5-5 --when cheap",
            """lmx enqueue --function count_words --input '{"args": ["a text"]}'""",
        ),
    )(enqueue)


def enqueue(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            help="The prompt. What is piped in comes below it (in a shell loop, give </dev/null)."
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            help="Read the prompt from a file (-: standard input), or attach it if it is a PDF or"
            " an image.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="Show the model an image: a file, or an http(s) address."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Which model; not needed if there is only one."),
    ] = None,
    route: Annotated[
        str | None,
        typer.Option("--route", "-r", help="Let a route choose the model: see lmx route list."),
    ] = None,
    labels: Labels = None,
    private: Private = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only show what the route would choose, and why.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="A system message before the prompt.")] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="At most so many tokens as an answer (512, or half the context)."),
    ] = None,
    n_ctx: Annotated[
        int | None,
        typer.Option("--n-ctx", help="Context length in tokens; the model's own by default."),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 takes the likeliest token.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the answer before this text.")] = None,
    json_schema: Annotated[
        str | None,
        typer.Option("--json-schema", help="Answer in JSON of this schema: JSON, or @FILE."),
    ] = None,
    grammar: Annotated[
        Path | None, typer.Option("--grammar", help="Answer by the GBNF grammar in this file.")
    ] = None,
    session_name: Annotated[
        str | None,
        typer.Option(
            "--session", help="The conversation that this continues: its beginning is kept."
        ),
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option("--tools", help="Functions it may call, in OpenAI's form: JSON, or @FILE."),
    ] = None,
    tool_choice: Annotated[
        str | None,
        typer.Option("--tool-choice", help="auto, none, required, or the name of one of them."),
    ] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking", help="Reason before answering, where the model can."
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            "--reasoning-effort", metavar="LEVEL", help="none, minimal, low, medium, high, max."
        ),
    ] = None,
    messages: Annotated[
        str | None,
        typer.Option("--messages", help="A whole conversation instead of a prompt: JSON or @FILE."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Any other option of a call: min_p=0.1, top_k=20."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Complete the prompt as it is, without the chat template.")
    ] = False,
    function: Annotated[
        str | None, typer.Option(help="Call a worker function instead of a model.")
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="Its input as JSON, or @FILE.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="What it may cost, in dollars: 0.05 (or tokens=5000).")
    ] = None,
    when: Annotated[
        str | None,
        typer.Option(
            "--when", help="cheap: in a batch, for half the price, within a day (cloud models)."
        ),
    ] = None,
    priority: Priority = 0,
    idempotency_key: IdempotencyKey = None,
    deadline: Deadline = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait, and print only the answer.")
    ] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Queue one task and print its id.

    Exit code: 0 queued (with --wait: succeeded), 1 failed, 2 bad input, 3 refused, 4 timed out.
    """
    from lmx.api.cli.prompts import conversation, model_call, turns_of, with_parts
    from lmx.api.cli.routed import routed_by, submit_by_route
    from lmx.api.cli.session import session
    from lmx.api.cli.textinput import (
        parse_budget,
        parse_json,
        read_file,
        read_prompt,
        split_files,
    )
    from lmx.api.cli.waiting import answer
    from lmx.api.preflight import refuse_malformed
    from lmx.workflows.call_options import check_options

    amounts = parse_budget(budget or [])
    common: dict[str, Any] = {
        "priority": priority,
        "timeout": deadline,
        "idempotency_key": idempotency_key,
        "budget": amounts,
    }
    if function is not None:
        _refuse_patience(when)
        body = _function_input(prompt, input_)
        with session() as opened:
            task_id = opened.client.enqueue(function, body, **common)
            answer(opened, task_id, wait=wait, timeout=timeout, as_json=as_json)
        return
    _refuse_without_function(input_)
    texts, parts = split_files(file or [], image or [])
    given = bool(prompt or file or image)
    turns = None if messages is None else conversation(messages, system, raw=raw, given=given)
    text = (
        ""
        if turns is not None
        else read_prompt(prompt or [], texts, piped=not file, alone=not parts)
    )
    named: dict[str, Any] = {
        "n_ctx": n_ctx,
        "temperature": temperature,
        "seed": seed,
        "stop": list(stop) if stop else None,
        "json_schema": None if json_schema is None else parse_json(json_schema, "--json-schema"),
        "grammar": None if grammar is None else read_file(grammar),
        "session": session_name,
        "tools": None if tools is None else parse_json(tools, "--tools"),
        "tool_choice": tool_choice,
        "thinking": thinking,
        "reasoning_effort": effort,
    }
    sampling = {
        **_options(option or []),
        **{name: value for name, value in named.items() if value is not None},
    }
    check_options(sampling)
    turns = with_parts(text, system, parts) if parts else turns
    by_route = routed_by(model, route, labels, private=private, explain=explain)
    with session() as opened:
        if by_route is not None:
            words = {"prompt": text} if raw else {"messages": turns or turns_of(text, system)}
            asked = {**by_route, **words, "max_tokens": max_tokens, "when": when}
            queued = submit_by_route(
                opened, asked, sampling, common, explain=explain, as_json=as_json
            )
            if queued is not None:
                answer(opened, queued, wait=wait, timeout=timeout, as_json=as_json)
            return
        call = model_call(opened, model, text, system, sampling, raw=raw, max_tokens=max_tokens)
        if turns is not None:
            call = {"model": call["model"], "messages": turns, "max_tokens": call["max_tokens"]}
        refuse_malformed(opened.connection, call["model"], {**call, **sampling})
        task_id = opened.client.generate(**call, **sampling, **common, private=private, when=when)
        answer(opened, task_id, wait=wait, timeout=timeout, as_json=as_json)


def _function_input(prompt: list[str] | None, text: str | None) -> Any:
    from lmx.api.cli.textinput import parse_call, parse_json
    from lmx.workflows.errors import InvalidInput
    from lmx.workflows.submission import call_input

    if text is None:
        return call_input(*parse_call(prompt or []))
    if prompt:
        raise InvalidInput("give the function's input by --input or as arguments, not both")
    body = parse_json(text, "--input")
    if isinstance(body, dict) and set(body) <= {"args", "kwargs"}:
        args, kwargs = body.get("args", []), body.get("kwargs", {})
        if isinstance(args, list) and isinstance(kwargs, dict):
            return call_input(args, kwargs)
        raise InvalidInput("in --input, args must be a list and kwargs an object")
    return call_input([body], {})


def _options(words: list[str]) -> dict[str, Any]:
    """The options given by --option NAME=VALUE."""
    from lmx.api.cli.textinput import parse_call
    from lmx.workflows.call_options import OPTIONS
    from lmx.workflows.errors import InvalidInput

    rest, named = parse_call(words)
    if rest:
        raise InvalidInput(f"--option is {rest[0]!r}", hint="write it as NAME=VALUE: min_p=0.1")
    if unknown := sorted(named.keys() - OPTIONS):
        raise InvalidInput(
            f"there is no option {unknown[0]!r} of a call", hint=", ".join(sorted(OPTIONS))
        )
    return named


def _refuse_without_function(text: str | None) -> None:
    from lmx.workflows.errors import InvalidInput

    if text is not None:
        raise InvalidInput("--input is for a function", hint="name it with --function")


def _refuse_patience(when: str | None) -> None:
    from lmx.workflows.errors import InvalidInput

    if when is not None:
        raise InvalidInput("--when is for calls of models", hint="leave it out with --function")
