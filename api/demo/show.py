"""The demo from its beginning to its end."""

import logging
import sys
from typing import Final

from rich.console import Console

from lmx.api.demo.cast import AGENTS, Cast, assemble_cast, register_cast
from lmx.api.demo.crash import crash_and_restart, is_the_middle
from lmx.api.demo.memory import DeviceWatch
from lmx.api.demo.records import CallRecord, read_calls
from lmx.api.demo.report import (
    print_answers,
    print_cast,
    print_evidence,
    print_memory,
    print_next_steps,
    print_waits,
)
from lmx.api.demo.stage import Stage, prepare_stage
from lmx.api.demo.watch import watch
from lmx.workflows.client import Client
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import resolve_database
from lmx.workflows.examples import trio
from lmx.workflows.money import format_usd, parse_usd
from lmx.workflows.views import TaskView

SPECIFICATION: Final = (
    "save_upload(folder, name, data): store the bytes of an uploaded file under the name that the"
    " user chose, and return its path."
)
BUDGET: Final = "0.01"
MAX_TOKENS: Final = 120
_WIDTH: Final = 140


def run_demo(settings: Settings, *, crash: bool = False) -> int:
    """Run the demo; with `crash`, kill every process in the middle of it and start again.

    Returns the exit code: 0 when the run succeeded and no completed call was made twice. Raises
    ConfigError when the engine or the model is not installed, Conflict while another demo runs.
    """
    console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH)
    cast = assemble_cast(settings, console.print)
    print_cast(console, cast)
    stage = prepare_stage(settings, cast.cap)
    try:
        return _perform(stage, cast, console, crash=crash)
    finally:
        # The connection that waited lingers for a while, and would complain of the server's end.
        logging.getLogger("lmx.waiting").setLevel(logging.CRITICAL)
        stage.down()
        console.print("stopped the demo's processes and its database", style="dim")


def _perform(stage: Stage, cast: Cast, console: Console, *, crash: bool) -> int:
    console.print("starting Postgres and the workers", style="dim")
    register_cast(stage, cast)
    stage.up()
    client = Client(resolve_database(stage.settings))
    try:
        run_id = client.submit(
            trio.trio.__name__,
            SPECIFICATION,
            AGENTS,
            MAX_TOKENS,
            budget={"usd": parse_usd(BUDGET)},
        )
        budget = format_usd(parse_usd(BUDGET))
        console.print(
            f"\n[bold]run {run_id}[/]: one coordinator, three agents, a budget of {budget}"
        )
        before: dict[int, CallRecord] = {}
        tasks: list[TaskView] = []
        memory = DeviceWatch()
        for tasks in watch(client, run_id, console, memory):
            if crash and not before and is_the_middle(tasks):
                before = crash_and_restart(stage, client, run_id, console)
        memory.look(client.database)
        print_memory(console, memory)
        return _conclude(stage, client, tasks, before, console, crash=crash)
    finally:
        client.close()
        client.database.engine.dispose()


def _conclude(
    stage: Stage,
    client: Client,
    tasks: list[TaskView],
    before: dict[int, CallRecord],
    console: Console,
    *,
    crash: bool,
) -> int:
    root = tasks[0]
    print_waits(console, client.database, tasks)
    with client.database.connect(application_name="lmx demo") as connection:
        after = read_calls(connection, root.id)
    intact = print_evidence(console, before, after) if crash else True
    if root.state == "succeeded":
        print_answers(console, root)
    print_next_steps(console, stage, root, crash=crash)
    return 0 if root.state == "succeeded" and intact else 1
