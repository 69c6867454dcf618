"""`lmx resume`, `retry`, `cancel`, `pause`, `fork`, `signal`: to steer what was started."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import LARGEST_ID

PANEL = "Control"

Run = Annotated[int, typer.Argument(help="The run's id.", min=1, max=LARGEST_ID)]
Task = Annotated[
    int, typer.Argument(help="The id of a run or of one task in it.", min=1, max=LARGEST_ID)
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    queue = examples("lmx pause 17", "lmx pause --queue gpu")
    app.command("cancel", rich_help_panel=PANEL, epilog=examples("lmx cancel 17"))(cancel)
    app.command("pause", rich_help_panel=PANEL, epilog=queue)(pause)
    resumed = examples("lmx resume 17", "lmx resume --queue gpu")
    app.command("resume", rich_help_panel=PANEL, epilog=resumed)(resume)
    app.command("retry", rich_help_panel=PANEL, epilog=examples("lmx retry 18"))(retry)
    forked = examples("lmx fork 17 draft")
    app.command("fork", rich_help_panel=PANEL, epilog=forked)(fork)
    judged = examples("lmx reject 18 'it cites papers that do not exist'", "lmx reject --not 18")
    app.command("reject", rich_help_panel=PANEL, epilog=judged)(reject)
    sent = examples("""lmx signal 17 approved '{"by": "ana"}'""")
    app.command("signal", rich_help_panel=PANEL, epilog=sent)(signal)


def cancel(task: Task) -> None:
    """Cancel a run or a task, with everything beneath it. What is done stays done."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows import control

    with session() as opened:
        count = control.cancel(opened.database, task)
    tasks = "1 task" if count == 1 else f"{count} tasks"
    note(f"cancelled {tasks}" if count else f"{task} had finished already")


def pause(
    run: Annotated[int | None, typer.Argument(help="The run's id.", min=1, max=LARGEST_ID)] = None,
    queue: Annotated[str | None, typer.Option(help="A queue instead of a run.")] = None,
) -> None:
    """Start nothing more of a run, or of a queue. What runs now goes on to its end."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows import control

    _one_of(run, queue)
    with session() as opened:
        if queue is not None:
            control.pause_queue(opened.database, queue)
        elif run is not None:
            control.pause_run(opened.database, run)
    target = f"--queue {queue}" if queue is not None else str(run)
    note(f"paused; it goes on with: lmx resume {target}")


def resume(
    run: Annotated[int | None, typer.Argument(help="The run's id.", min=1, max=LARGEST_ID)] = None,
    queue: Annotated[str | None, typer.Option(help="A queue instead of a run.")] = None,
) -> None:
    """Take up a paused run or queue, or a failed run: its recorded steps are not done again."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows import control
    from lmx.workflows.views import get_task

    _one_of(run, queue)
    with session() as opened:
        if queue is not None:
            control.resume_queue(opened.database, queue)
        elif run is not None and get_task(opened.database, run).state == "failed":
            control.resume_failed_run(opened.database, run)
        elif run is not None:
            control.resume_run(opened.database, run)
    note(f"resumed the queue {queue}" if queue is not None else f"resumed {run}")


def retry(task: Task) -> None:
    """Put a failed task back into its queue, with all of its attempts."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows import control

    with session() as opened:
        control.retry(opened.database, task)
    note(f"{task} is queued again")


def fork(
    run: Run,
    step: Annotated[str, typer.Argument(help="The first step that is to be done anew.")],
) -> None:
    """Start a new run that repeats this one from a step on; print its id.

    What was recorded before the step is taken over, and not done again.
    """
    from lmx.api.cli.output import write
    from lmx.api.cli.session import session
    from lmx.workflows import control

    with session() as opened:
        write(str(control.fork(opened.database, run, step)))


def signal(
    task: Task,
    name: Annotated[str, typer.Argument(help="The name that the coordinator waits for.")],
    payload: Annotated[str | None, typer.Argument(help="What it gets: JSON, or @FILE.")] = None,
) -> None:
    """Send a message to a coordinator that waits for it, or will."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.api.cli.textinput import parse_json
    from lmx.workflows import control

    body = None if payload is None else parse_json(payload, "the payload")
    with session() as opened:
        control.signal(opened.database, task, name, body)
    note(f"signalled {name} to {task}")


def _one_of(run: int | None, queue: str | None) -> None:
    from lmx.workflows.errors import InvalidInput

    if (run is None) == (queue is None):
        raise InvalidInput("name either a run or a --queue")


def reject(
    call: Annotated[int, typer.Argument(help="The call of a model.", min=1, max=LARGEST_ID)],
    reason: Annotated[str, typer.Argument(help="What is wrong with its answer.")] = "",
    good: Annotated[bool, typer.Option("--not", help="Say that it is good instead.")] = False,
) -> None:
    """Say that a model's answer is no good: after three in a row routes choose other models."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows import control

    with session() as opened:
        fresh = control.judge(opened.database, call, accepted=good, reason=reason)
    said = "accepted" if good else "rejected"
    note(f"the answer of {call} is {said}" if fresh else f"the answer of {call} was {said} before")
