"""Shows a run while it goes on: a tree redrawn on a terminal, lines of news elsewhere."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live

from lmx.api.cli.tree import doing, draw
from lmx.api.demo.memory import DeviceWatch, picture
from lmx.workflows.client import Client
from lmx.workflows.errors import TimedOut
from lmx.workflows.views import CallView, TaskView, get_tree, model_calls

GLANCE_S = 0.25


def watch(
    client: Client, run_id: int, console: Console, memory: DeviceWatch
) -> Iterator[list[TaskView]]:
    """Yield the run's tasks at every glance, showing them, until the run has finished.

    `memory` looks at the device at every glance too; a terminal shows its picture below the tree.
    """
    with _screen(console) as live:
        told: dict[int, str] = {}
        while True:
            tasks = get_tree(client.database, run_id)
            calls = model_calls(client.database, run_id)
            memory.look(client.database)
            if live is not None:
                live.update(
                    Group(draw(tasks, calls), *picture(memory.device, console)), refresh=True
                )
            else:
                for line in _news(tasks, calls, told):
                    console.print(line, markup=False)
            yield tasks
            if tasks[0].finished:
                return
            with contextlib.suppress(TimedOut):
                client.wait(run_id, GLANCE_S)


@contextlib.contextmanager
def _screen(console: Console) -> Iterator[Live | None]:
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield live


def _news(
    tasks: Sequence[TaskView], calls: Mapping[int, CallView], told: dict[int, str]
) -> Iterator[str]:
    """What is new since the last glance; `told` remembers it."""
    for task in tasks:
        children = [child for child in tasks if child.parent_id == task.id]
        text = doing(task, children, calls.get(task.id))
        # How many tokens there are so far would be news at every glance.
        kind = text.partition(",")[0] if task.state == "leased" else text
        if told.get(task.id) != kind:
            told[task.id] = kind
            yield f"  {task.key or task.name:<12} {text}"
