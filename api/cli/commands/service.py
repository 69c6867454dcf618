"""`lmx up`, `lmx down`, `lmx status`: the processes that do the work."""

from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import duration, note, print_table, write, write_json

if TYPE_CHECKING:
    from lmx.api.supervisor import StatusView

PANEL = "Processes"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("up", rich_help_panel=PANEL, epilog=examples("lmx up", "lmx up --detach"))(up)
    app.command("down", rich_help_panel=PANEL)(down)
    app.command("status", rich_help_panel=PANEL, epilog=examples("lmx status --json"))(status)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background; lmx down ends it.")
    ] = False,
) -> None:
    """Start the API and the workers, and take up every unfinished run where it stood.

    Runs until Ctrl-C, restarting what dies. Log files are in the folder `logs` of LMX_HOME.
    """
    from lmx.api.supervisor import await_service, run_supervisor, start_detached
    from lmx.workflows.config import load_settings

    settings = load_settings()
    if detach:
        pid = start_detached(settings)
        note(f"running in the background (pid {pid}); lmx status shows it, lmx down ends it")
        for child in await_service(settings):
            note(f"{child.name} does not serve yet: {child.last_line or child.state}")
        return
    raise typer.Exit(run_supervisor(settings))


def down() -> None:
    """Stop what `lmx up` started, and the embedded server. Unfinished runs go on at the next up."""
    from lmx.api.supervisor import stop
    from lmx.workflows.config import load_settings

    if not stop(load_settings(), progress=note):
        note("nothing was running")


def status(
    as_json: AsJson = False,
) -> None:
    """Show what runs: processes, database, queues and workers. Starts nothing.

    Exit code 0 when lmx is up, 5 when it is not.
    """
    from lmx.api.supervisor import status as read_status
    from lmx.workflows.config import load_settings

    view = read_status(load_settings())
    if as_json:
        write_json(view)
    else:
        _print(view)
    if view.pid is None:
        raise typer.Exit(5)


def _print(view: "StatusView") -> None:
    if view.pid is None:
        write("lmx is not running; start it: lmx up")
    else:
        write(f"lmx is {view.phase} (pid {view.pid}), up for {duration(view.uptime_s)}")
        if view.api_url:
            write(f"API        {view.api_url}")
    database = view.database
    write(f"database   {database.place}: {database.state}")
    if database.problem:
        write(f"           {database.problem}")
    write(f"logs       {view.logs}")
    if view.children:
        _heading("processes")
        rows = [
            (
                child.name,
                child.state,
                str(child.pid or "-"),
                duration(child.uptime_s),
                str(child.restarts),
                child.last_line if child.state in ("failed", "restarting") else "",
            )
            for child in view.children
        ]
        print_table(("process", "state", "pid", "up", "restarts", "last line"), rows)
    if view.queues:
        _heading("queues")
        print_table(*_queue_rows(view))
    if view.workers:
        _heading("workers")
        print_table(*_worker_rows(view))


def _heading(text: str) -> None:
    write(f"\n{text}")


def _queue_rows(view: "StatusView") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns = ("queue", "ready", "leased", "scheduled", "of paused runs", "")
    rows: list[tuple[str, ...]] = [
        (
            queue.name,
            str(queue.ready),
            str(queue.leased),
            str(queue.scheduled),
            str(queue.shelved),
            "paused" if queue.paused else "",
        )
        for queue in view.queues
    ]
    return columns, rows


def _worker_rows(view: "StatusView") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns = ("worker", "queues", "host", "pid", "state", "tasks")
    rows: list[tuple[str, ...]] = [
        (
            worker.name,
            ", ".join(worker.queues),
            worker.host,
            str(worker.pid),
            "alive" if worker.alive else "lost",
            str(worker.leased),
        )
        for worker in view.workers
    ]
    return columns, rows
