"""Runs of the past: what they left in every table, as old as a test wants it."""

from typing import Final

from lmx.workflows.database.connect import Database
from tests.support.hands import Hands

DAY_S: Final = 86_400
#: Tables of which rows belong to a task, with the column that names it.
OF_TASKS: Final = {
    "tasks": "id",
    "budgets": "task_id",
    "decisions": "task_id",
    "events": "task_id",
    "checkpoints": "task_id",
    "signals": "task_id",
    "memory": "run_id",
    "lanes": "run_id",
    "runs": "id",
}

_DECIDE: Final = """
INSERT INTO lmx.decisions (task_id, at, reason, route, rule, rules_version, model, cost, why,
                           features, candidates, terms, models)
VALUES (%(task)s, now() - make_interval(days => %(days)s), 'submitted', 'research', 'r', 'v', 'm',
        0, 'the first', '{}', '[]', '{}', '[]')
"""


class History:
    """Makes runs that ended some days ago."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.hands = Hands(database)
        self.conn = self.hands.conn

    def run(self, days: int, *, spent: int = 20) -> list[int]:
        """A run with two children that has spent of its budget; its tasks, the root first."""
        run, children = self.hands.run_to_parked(
            "a", "b", budgets={"usd": 500}, budget={"usd": 100}, reserve={"usd": 50}
        )
        for _ in children:
            self.hands.finish(self.hands.take(), "an answer", costs={"usd": spent})
        root = self.hands.mind()
        self.hands.checkpoint(root, "a step", 1)
        self.conn.execute("INSERT INTO lmx.memory (run_id, key) VALUES (%s, 'k')", [run])
        self.conn.execute("INSERT INTO lmx.signals (task_id, name, seq) VALUES (%s, 's', 1)", [run])
        self.hands.finish(root, "a result")
        tasks = [run, *children]
        for task in tasks:
            self.conn.execute(_DECIDE, {"task": task, "days": days})
            self.conn.execute(
                "INSERT INTO lmx.events (run_id, task_id, kind) VALUES (%s, %s, 'noted')",
                [run, task],
            )
        self.age(days, *tasks)
        return tasks

    def age(self, days: int, *tasks: int) -> None:
        """Let tasks, and what was noted of them, have happened so many days ago."""
        for table, column, times in (
            ("tasks", "id", ("created_at", "started_at", "finished_at")),
            ("events", "task_id", ("at",)),
        ):
            changes = ", ".join(
                f"{time} = {time} - make_interval(days => %(days)s)" for time in times
            )
            self.conn.execute(
                f"UPDATE lmx.{table} SET {changes} WHERE {column} = ANY(%(ids)s)",
                {"days": days, "ids": list(tasks)},
            )

    def left(self, *tasks: int) -> dict[str, int]:
        """How many rows of each table still belong to these tasks; tables without any left out."""
        counts = {
            table: self.hands.value(
                f"SELECT count(*) FROM lmx.{table} WHERE {column} = ANY(%s)", list(tasks)
            )
            for table, column in OF_TASKS.items()
        }
        return {table: count for table, count in counts.items() if count}
