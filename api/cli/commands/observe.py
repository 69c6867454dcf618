"""`lmx runs`, `lmx show`, `lmx wait`, `lmx logs`: what happens and what has happened."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import LARGEST_ID, AsJson, seconds

if TYPE_CHECKING:
    from lmx.api.cli.session import Session
    from lmx.workflows.views import EventView, TaskView

PANEL = "Work"
_REDRAW_S = 0.5
#: Of each part of an answer so far: as much as fits on a screen that is redrawn.
_LIVE_LINES = 8

Id = Annotated[
    int,
    typer.Argument(help="The id that lmx run or lmx enqueue printed.", min=1, max=LARGEST_ID),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    listed = examples("lmx runs --state failed", "lmx runs --json | jq '.[].id'")
    app.command("runs", rich_help_panel=PANEL, epilog=listed)(runs)
    app.command("show", rich_help_panel=PANEL, epilog=examples("lmx show 17"))(show)
    app.command("wait", rich_help_panel=PANEL, epilog=examples("lmx wait 17 --timeout 60"))(wait)
    app.command("logs", rich_help_panel=PANEL, epilog=examples("lmx logs 17 --follow"))(logs)


def runs(
    state: Annotated[
        str | None, typer.Option(help="Only runs in this state: ready, leased, failed, ...")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only runs of this workflow or task.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    before: Annotated[
        int | None, typer.Option(help="Only runs with a smaller id: the next page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the latest first."""
    from lmx.api.cli.output import clock, note, print_table, write_json
    from lmx.api.cli.session import session
    from lmx.workflows.views import list_runs

    with session() as opened:
        found = list_runs(opened.database, state=state, name=name, limit=limit, before=before)
    if as_json:
        write_json(found)
    elif not found:
        note("no such runs; start one with lmx run or lmx enqueue")
    else:
        rows = [(str(run.id), run.name, run.state, clock(run.created_at)) for run in found]
        print_table(("id", "name", "state", "submitted"), rows)


def show(
    run: Id,
    once: Annotated[bool, typer.Option("--once", help="Draw once and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a run's spawn tree, and go on drawing until the run has finished.

    Beneath a task by itself stands what has come of its answer, if there is no whole one.
    Written into a pipe, it is drawn once. Ctrl-C ends the drawing, not the run.
    """
    from lmx.api.cli.describe import error_text
    from lmx.api.cli.output import note, print_rich, write_json
    from lmx.api.cli.session import session
    from lmx.api.cli.tree import picture
    from lmx.workflows.views import get_tree, model_calls

    with session() as opened:
        tasks = get_tree(opened.database, run)
        if as_json:
            write_json(tasks)
            return
        if once or not sys.stdout.isatty() or tasks[0].finished:
            print_rich(picture(tasks, model_calls(opened.database, run)))
        else:
            tasks = follow(opened, run)
    root = tasks[0]
    if root.state == "failed":
        note(f"{run} failed: {error_text(root.error)}; take it up again: lmx resume {run}")


def follow(opened: "Session", run: int) -> list["TaskView"]:
    """Redraw a run's tree until it has finished; return the tree as it then is."""
    from rich.live import Live

    from lmx.api.cli.output import console
    from lmx.api.cli.tree import picture
    from lmx.workflows.errors import TimedOut
    from lmx.workflows.views import get_tree, model_calls

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            tasks = get_tree(opened.database, run)
            calls = model_calls(opened.database, run)
            live.update(picture(tasks, calls, _LIVE_LINES), refresh=True)
            if tasks[0].finished:
                return tasks
            with contextlib.suppress(TimedOut):
                opened.client.wait(run, _REDRAW_S)


def wait(
    task: Id,
    timeout: Annotated[
        float | None,
        typer.Option(callback=seconds, help="At most so many seconds; the task goes on."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a run or task has finished, and print its result.

    Exit code: 0 succeeded, 1 failed or cancelled, 3 refused, 4 timed out.
    """
    from lmx.api.cli.session import session
    from lmx.api.cli.waiting import finish

    with session() as opened:
        finish(opened, task, timeout, as_json)


def logs(
    run: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has finished.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print what happened in a run, in order: starts, steps, retries, waits, ends."""
    from lmx.api.cli.session import session
    from lmx.workflows.errors import TimedOut
    from lmx.workflows.views import get_task, run_events

    with session() as opened:
        root = get_task(opened.database, run)
        cursor = 0
        while True:
            # Read the root before the events, so that none of a finished run is missed.
            finished = root.finished
            while batch := run_events(opened.database, run, cursor):
                for event in batch:
                    _print_event(event, as_json)
                cursor = batch[-1].cursor
            if finished or not follow:
                return
            try:
                root = opened.client.wait(run, _REDRAW_S)
            except TimedOut:
                root = get_task(opened.database, run)


def _print_event(event: "EventView", as_json: bool) -> None:
    from lmx.api.cli.describe import event_text
    from lmx.api.cli.output import clock, write, write_json

    if as_json:
        write_json(event, line=True)
        return
    subject = f"{event.key or event.name} #{event.task_id}"
    write(f"{clock(event.at)}  {subject:<24}  {event_text(event)}".rstrip())
