"""Budgets and allowances for reading: the tree of a run, the lines of accounts and days."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text
from rich.tree import Tree

from lmx.api.cli.output import clock
from lmx.workflows.allowances.words import amount_text, span_text

if TYPE_CHECKING:
    from lmx.workflows.allowances.rules import AllowanceView
    from lmx.workflows.budgets import BudgetNode, BudgetView

ALLOWANCE_COLUMNS: Final = ("allowance", "spent", "held", "left", "unknown", "until")


def allowance_row(view: "AllowanceView") -> list[str]:
    """One allowance in its present period."""
    amounts = (view.spent, view.held, view.left, view.unknown)
    ceiling = amount_text(view.unit, view.ceiling)
    return [
        f"{ceiling} {span_text(view.scope, view.per)}",
        *(amount_text(view.unit, amount) for amount in amounts),
        "" if view.ends_at is None else clock(view.ends_at),
    ]


def draw_budgets(nodes: Sequence["BudgetNode"]) -> Tree:
    """Draw the budgets of one run, its root first; tasks without any are left out."""
    children: dict[int | None, list[BudgetNode]] = defaultdict(list)
    for node in nodes[1:]:
        children[node.parent_id].append(node)
    tree = Tree(_label(nodes[0]), guide_style="dim")
    branches = [(nodes[0].id, tree)]
    while branches:
        parent, branch = branches.pop()
        branches += [(child.id, branch.add(_label(child))) for child in children[parent]]
    return tree


def _label(node: "BudgetNode") -> Text:
    text = Text.assemble((node.name, "bold"), (f" #{node.id}  {node.state}", "dim"))
    for budget in node.budgets:
        text.append("  " + _amounts(budget, node.unknown.get(budget.unit, 0)))
    if not node.budgets:
        text.append("  no budget", "dim")
    return text


def _amounts(budget: "BudgetView", unknown: int) -> str:
    parts = [f"{amount_text(budget.unit, budget.spent)} spent"]
    if unknown:
        parts.append(f"({amount_text(budget.unit, unknown)} of it unknown)")
    if budget.held:
        parts.append(f"{amount_text(budget.unit, budget.held)} held")
    if budget.granted:
        parts.append(f"{amount_text(budget.unit, budget.granted)} granted")
    return f"{' '.join(parts)} of {amount_text(budget.unit, budget.ceiling)}"
