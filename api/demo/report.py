"""What the demo tells at its beginning and at its end."""

from collections.abc import Mapping, Sequence
from textwrap import indent

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lmx.api.cli.describe import error_text, memory_wait_of
from lmx.api.cli.output import duration
from lmx.api.cli.tree import NOTABLE_WAIT_S, draw
from lmx.api.demo.cast import N_CTX, Cast
from lmx.api.demo.memory import DeviceWatch, picture
from lmx.api.demo.records import CallRecord, repeated
from lmx.api.demo.stage import Stage
from lmx.workflows.database.connect import Database
from lmx.workflows.names import GENERATE
from lmx.workflows.units import format_bytes
from lmx.workflows.views import CallView, TaskView, check_budgets, model_calls


def print_cast(console: Console, cast: Cast) -> None:
    """The three models, their exact needs, and the size of the device."""
    table = _table("model", "file", "weights", "KV cache", "compute", "needs in all")
    for variant, need in cast.needs.items():
        size = format_bytes(variant.path.stat().st_size)
        parts = (need.weights, need.kv, need.compute, need.total)
        table.add_row(variant.name, size, *map(format_bytes, parts))
    console.print(table)
    total = sum(need.total for need in cast.needs.values())
    console.print(
        f"contexts of {N_CTX} tokens; all three need {format_bytes(total)}, the device is given"
        f" [bold]{format_bytes(cast.cap)}[/]: any two fit, the third waits"
    )


def print_waits(console: Console, database: Database, tasks: Sequence[TaskView]) -> None:
    """The finished tree, who waited for memory and how long, and whether the books balance."""
    calls = model_calls(database, tasks[0].id)
    console.print()
    console.print(draw(tasks, calls))
    console.print("\n[bold]who waited for memory[/]")
    for task in tasks:
        call = calls.get(task.id)
        if task.name != GENERATE or call is None:
            continue
        console.print(f"  {task.key or '':<12} {call.model:<14} {_wait(task, call)}", markup=False)
    faults = list(check_budgets(database, tasks[0].id))
    for fault in faults:
        console.print(f"[red]{escape(str(fault))}[/]")
    if not faults:
        console.print("every charge adds up to its budget", style="dim")


def _wait(task: TaskView, call: CallView) -> str:
    seconds = memory_wait_of(task) or 0.0
    waited = duration(seconds)
    if call.shortage is None:
        why = "there was room at once" if seconds < NOTABLE_WAIT_S else "others came first"
        return f"{waited:>8}  {why}"
    needs, free = format_bytes(call.shortage.needs), format_bytes(call.shortage.free)
    return f"{waited:>8}  it needed {needs} while {free} were free"


def print_memory(console: Console, memory: DeviceWatch) -> None:
    """The device at its fullest, and how often the agents gave way to each other."""
    console.print("\n[bold]the device at its fullest[/]")
    for line in picture(memory.fullest, console):
        console.print(line, soft_wrap=True)
    console.print(f"[bold]taking turns[/]: {memory.turns()}")


def print_evidence(
    console: Console, before: Mapping[int, CallRecord], after: Mapping[int, CallRecord]
) -> bool:
    """Compare every call's record at the kill with its record now; True if none was repeated."""
    if not before:
        console.print("[yellow]the run was over before it could be killed; run it again[/]")
        return False
    table = _table("call", "at the kill", "now", "handed out", "charges", "answer")
    for task_id, now in after.items():
        then = before.get(task_id)
        same = "unchanged" if then and then.completed and then == now else "written once"
        handed = f"{then.claims if then else 0} -> {now.claims}"
        state = then.state if then else "not begun"
        table.add_row(now.key, state, now.state, handed, str(now.charges), same)
    console.print("\n[bold]what the records say[/]")
    console.print(table)
    again = repeated(before, after)
    if again:
        console.print(f"[bold red]made twice: {', '.join(again)}[/]")
        return False
    kept = sum(record.completed for record in before.values())
    console.print(
        "[bold green]no completed call was repeated[/]: what was answered before the kill"
        f" ({kept} of {len(after)} calls) was taken from its record; what was cut off ran again"
    )
    return True


def print_answers(console: Console, root: TaskView) -> None:
    """The report that the coordinator put together in its last, recorded step."""
    console.print("\n[bold]the report[/]")
    for title, text in dict(root.output).items():
        console.print(f"[cyan]{escape(title)}[/]")
        console.print(f"{indent(text, '  ')}\n", markup=False, soft_wrap=True)
    console.print(
        "(a model of 135 million parameters wrote this: the demo is about the run, not the prose)",
        style="dim",
    )


def print_next_steps(console: Console, stage: Stage, root: TaskView, *, crash: bool) -> None:
    """What to type next."""
    if root.state != "succeeded":
        reason = error_text(root.error) or "no reason recorded"
        console.print(f"[bold red]run {root.id} {root.state}[/]: {escape(reason)}")
    look = f"LMX_HOME={stage.settings.home} lmx"
    console.print(f"\nlook at it again:      {look} show {root.id}", markup=False)
    console.print(f"                       {look} logs {root.id}", markup=False)
    if not crash:
        console.print("kill it in the middle: lmx demo --crash   (or: make demo-crash)")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
