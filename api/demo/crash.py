"""The worst moment: every process is killed while some calls are done and others are not."""

from collections.abc import Sequence

from rich.console import Console

from lmx.api.demo.records import CallRecord, read_calls
from lmx.api.demo.stage import Stage
from lmx.workflows.client import Client
from lmx.workflows.names import GENERATE
from lmx.workflows.views import TaskView


def is_the_middle(tasks: Sequence[TaskView]) -> bool:
    """Whether at least one model call is complete and another one is being worked on."""
    calls = [task for task in tasks if task.name == GENERATE]
    return any(call.state == "succeeded" for call in calls) and any(
        call.state == "leased" for call in calls
    )


def crash_and_restart(
    stage: Stage, client: Client, run_id: int, console: Console
) -> dict[int, CallRecord]:
    """Kill everything but the database, start again; return what was recorded when all was dead."""
    killed = stage.kill()
    with client.database.connect(application_name="lmx demo") as connection:
        before = read_calls(connection, run_id)
    done = [record.key for record in before.values() if record.completed]
    cut = [record.key for record in before.values() if record.state == "leased"]
    console.print(f"\n[bold red]kill -9[/] {', '.join(killed)}")
    console.print(f"  recorded by then: {', '.join(done) or 'nothing'}")
    console.print(f"  cut off in the middle: {', '.join(cut) or 'nothing'}")
    console.print("[bold green]starting again[/]\n")
    stage.up()
    return before
