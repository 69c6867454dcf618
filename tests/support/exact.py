"""The checks that every crash test ends with: what was accepted is there, once, and adds up."""

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg.rows import dict_row

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.views import check_budgets
from tests.support.flows import USD
from tests.support.pretend_model import COST
from tests.support.workers import Workers

_LEFT_OVER = {
    "unfinished tasks": "SELECT id, name, state FROM lmx.tasks WHERE finished_at IS NULL",
    "leases": "SELECT id, name, state FROM lmx.tasks WHERE worker_id IS NOT NULL",
    "waits": "SELECT id, name, state, waiting FROM lmx.tasks"
    " WHERE waiting <> 0 OR waiting_for IS NOT NULL OR run_at IS NOT NULL",
    "holds": "SELECT task_id, unit, amount FROM lmx.holds",
    "open budgets": "SELECT task_id, unit FROM lmx.budgets"
    " WHERE NOT closed OR held > 0 OR granted > 0",
    "overspent budgets": "SELECT task_id, unit FROM lmx.budgets WHERE spent > ceiling",
    "settlements beside the first": "SELECT task_id, unit, count(*) FROM lmx.charges"
    " WHERE reason = 'settled' GROUP BY task_id, unit HAVING count(*) > 1",
}


def finish_all(database: Database, ids: Iterable[int], within_s: float = 60.0) -> dict[int, Any]:
    """Wait until all tasks have succeeded; return their outputs."""
    client = Client(database)
    try:
        return {task_id: client.result(task_id, within_s) for task_id in ids}
    finally:
        client.close()


def assert_nothing_left(database: Database) -> None:
    """Everything has ended: no lease, hold, wait or open budget is left, and all sums are exact."""
    with database.connect() as conn:
        left = {what: conn.execute(query).fetchall() for what, query in _LEFT_OVER.items()}
    found = {what: rows for what, rows in left.items() if rows}
    assert not found, f"left over: {found}"
    assert check_budgets(database) == []


def assert_exact_trees(
    workers: Workers, outputs: Mapping[int, Mapping[str, Any]], branches: int, leaves: int
) -> None:
    """Every run of `flows.tree` is whole: each body recorded once, from one of its executions."""
    assert_nothing_left(workers.database)
    with workers.database.connect() as conn:
        conn.row_factory = dict_row  # type: ignore[assignment]
        tasks: list[Any] = conn.execute("SELECT * FROM lmx.tasks ORDER BY id").fetchall()
        steps: list[Any] = conn.execute("SELECT * FROM lmx.checkpoints").fetchall()
        memory: list[Any] = conn.execute("SELECT * FROM lmx.memory").fetchall()
        budgets: list[Any] = conn.execute("SELECT * FROM lmx.budgets").fetchall()
    assert {task["state"] for task in tasks} == {"succeeded"}
    assert len(tasks) == len(outputs) * (1 + branches * (2 + leaves))
    assert len(steps) == len(outputs) * _records(branches)
    book = _Book(workers, tasks, steps)
    for run, output in outputs.items():
        spent = {b["unit"]: b["spent"] for b in budgets if b["task_id"] == run}
        assert spent == {"usd": branches * COST, "work": 0}
        known = {row["key"]: row["value"] for row in memory if row["run_id"] == run}
        book.check_tree(run, output, known, branches, leaves)
    assert len(memory) == len(outputs) * (1 + branches)


def tree_budget(branches: int, leaves: int) -> dict[str, int]:
    """Exactly the budget that a `flows.tree` gives away to its branches."""
    return {"work": 5 * leaves * branches, "usd": USD * branches}


def _records(branches: int) -> int:
    """Checkpoints of one tree: plan, memory written, report and memory read; three per branch
    (open, memory, close) and its sleep."""
    return 4 + branches * 4


class _Book:
    """What was noted and what was recorded, side by side."""

    def __init__(self, workers: Workers, tasks: list[Any], steps: list[Any]) -> None:
        self.noted = {(n["what"], n["task"], n["token"]) for n in workers.notes()}
        self.steps = {(row["task_id"], row["name"]): row["output"] for row in steps}
        self.children = {(t["parent_id"], t["key"]): t for t in tasks if t["parent_id"]}

    def check_step(self, task: int, name: str, token: str) -> None:
        """The step's result is what was recorded, and what one of its executions returned."""
        assert self.steps[task, name] == token
        assert (name, task, token) in self.noted

    def check_tree(
        self, run: int, output: Any, memory: Mapping[str, Any], branches: int, leaves: int
    ) -> None:
        self.check_step(run, "plan", output["planned"])
        self.check_step(run, "report", output["reported"])
        assert output["remembered"] == output["planned"] == memory["planned"]
        assert len(output["branches"]) == branches
        for number, below in enumerate(output["branches"]):
            child = self.children[run, f"branch{number}"]
            assert child["output"] == below
            assert memory[f"open {child['id']}"] == below["opened"]
            self.check_branch(child["id"], below, leaves)

    def check_branch(self, branch: int, output: Any, leaves: int) -> None:
        self.check_step(branch, "open", output["opened"])
        self.check_step(branch, "close", output["closed"])
        assert len(output["leaves"]) == leaves
        for number, token in enumerate(output["leaves"]):
            child = self.children[branch, f"leaf{number}"]
            assert child["output"] == token
            assert child["attempts"] == number % 2, "as many failed attempts as it was told to make"
            assert ("leaf", child["id"], token) in self.noted
        call = self.children[branch, "call"]
        assert call["output"]["text"] == output["answer"]
        assert ("call", call["id"], output["answer"]) in self.noted
