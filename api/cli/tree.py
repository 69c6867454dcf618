"""Draws a run's spawn tree: state, model, tokens, cost and time of every task."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from lmx.api.cli.describe import (
    activity,
    batch_text,
    cost_of,
    declined,
    memory_wait_of,
    shortage_text,
    tokens_of,
    took,
)
from lmx.api.cli.output import duration
from lmx.api.cli.partials import glimpse, kept, paragraphs
from lmx.workflows.money import format_usd
from lmx.workflows.providers.batching import GATHERING

if TYPE_CHECKING:
    from lmx.workflows.views import CallView, TaskView

#: State -> mark and colour. The marks differ, so that the tree reads without colours too.
MARKS: Final = {
    "succeeded": ("✔", "green"),
    "failed": ("✘", "red"),
    "cancelled": ("∅", "yellow"),
    "leased": ("▶", "cyan"),
    "parked": ("…", "blue"),
    "ready": ("·", "white"),
    "scheduled": ("◷", "magenta"),
}
#: Waits for memory shorter than this, in seconds, are not worth a word.
NOTABLE_WAIT_S: Final = 0.1


def draw(tasks: Sequence["TaskView"], calls: Mapping[int, "CallView"]) -> Tree:
    """Draw the tasks of one run, its root first; `calls` are the model calls among them."""
    children: dict[int | None, list[TaskView]] = defaultdict(list)
    for task in tasks[1:]:
        children[task.parent_id].append(task)
    root = tasks[0]
    tree = Tree(label(root, children[root.id], calls.get(root.id)), guide_style="dim")
    branches = [(root.id, tree)]
    while branches:
        parent_id, branch = branches.pop()
        for child in children[parent_id]:
            text = label(child, children[child.id], calls.get(child.id))
            if child.state == "leased" and (words := glimpse(child)):
                text.append(f"\n{words}", "dim italic")
            branches.append((child.id, branch.add(text)))
    return tree


def label(task: "TaskView", children: Sequence["TaskView"], call: "CallView | None") -> Text:
    """One task on one line."""
    mark, colour = MARKS[task.state]
    text = Text.assemble((f"{mark} ", colour), (task.key or task.name, "bold"))
    # A child without a key of its own is called by its function's name, numbered (`count#2`).
    if task.key and task.name not in (task.key.partition("#")[0], "generate"):
        text.append(f" {task.name}", "dim")
    text.append(f" #{task.id}", "dim")
    text.append(f"  {doing(task, children, call)}", colour)
    details = [
        call.model if call else None,
        f"route {call.route}: {call.why}" if call and call.route else None,
        "declined to answer" if declined(task) else None,
        tokens_of(task),
        _cost(task),
        took(task) if task.state in ("leased", "parked") or task.finished else None,
        _memory_wait(task),
        f"{task.deliveries} deliveries" if task.deliveries > 1 else None,
        kept(task),
    ]
    for detail in filter(None, details):
        text.append(f"  {detail}", "dim")
    return text


def picture(
    tasks: Sequence["TaskView"], calls: Mapping[int, "CallView"], lines: int | None = None
) -> Group | Tree:
    """The tree; of a task by itself also the end of its answer so far, in at most so many lines."""
    tree = draw(tasks, calls)
    if len(tasks) > 1:
        return tree
    parts = paragraphs(tasks[0], lines)
    return Group(tree, *(Text.assemble((heading, "dim"), "\n", text) for heading, text in parts))


def doing(task: "TaskView", children: Sequence["TaskView"], call: "CallView | None") -> str:
    """What a task does or waits for: memory, limits, money and batches included."""
    if call is not None and call.batch is not None and _in_a_batch(task, call):
        return batch_text(call.batch)
    if task.state in ("ready", "scheduled") and call is not None and call.waits_for:
        return f"waiting: {call.waits_for}"
    if task.state == "ready" and call is not None and call.shortage is not None:
        return shortage_text(call.shortage)
    return activity(task, children)


def _in_a_batch(task: "TaskView", call: "CallView") -> bool:
    """Whether a call waits in a batch, or for no more than others to go with it."""
    gathers = task.state == "ready" and call.waits_for in (None, GATHERING)
    return gathers or task.state == "parked"


def _cost(task: "TaskView") -> str | None:
    spent = cost_of(task)
    for budget in task.budgets:
        if budget.unit == "usd" and task.role == "coordinator":
            return f"{format_usd(budget.spent)} of {format_usd(budget.ceiling)}"
    return None if spent is None else format_usd(spent)


def _memory_wait(task: "TaskView") -> str | None:
    waited = memory_wait_of(task)
    if waited is None or waited < NOTABLE_WAIT_S:
        return None
    return f"waited {duration(waited)} for memory"
