"""`lmx run`: start a workflow."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson, Deadline, IdempotencyKey, Priority, Timeout

PANEL = "Work"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "run",
        rich_help_panel=PANEL,
        epilog=examples(
            "lmx run review paper=@paper.md --budget 0.50",
            """lmx run build '{"target": "web"}' 3 --wait""",
        ),
    )(run)


def run(
    workflow: Annotated[str, typer.Argument(help="The coordinator's name.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Its arguments: JSON or plain words, key=value, key=@TEXT_FILE, key=@FILE.json."
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(help="What the whole run may cost: 0.50 dollars (or tokens=5000)."),
    ] = None,
    priority: Priority = 0,
    weight: Annotated[
        float, typer.Option(help="Its share of the workers, beside other runs.")
    ] = 1.0,
    nesting: Annotated[
        int, typer.Option(help="Levels of coordinators it may spawn beneath itself.")
    ] = 0,
    idempotency_key: IdempotencyKey = None,
    deadline: Deadline = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait, and print its result.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of a workflow and print its id. Follow it with lmx show.

    Exit code: 0 queued (with --wait: succeeded), 1 failed, 2 bad input, 3 refused, 4 timed out.
    """
    from lmx.api.cli.session import session
    from lmx.api.cli.textinput import parse_budget, parse_call
    from lmx.api.cli.waiting import answer

    amounts = parse_budget(budget or [])
    args, kwargs = parse_call(arguments or [])
    with session() as opened:
        run_id = opened.client.start(
            workflow,
            args=args,
            kwargs=kwargs,
            weight=weight,
            nesting=nesting,
            budget=amounts,
            priority=priority,
            idempotency_key=idempotency_key,
            timeout=deadline,
        )
        answer(opened, run_id, wait=wait, timeout=timeout, as_json=as_json)
