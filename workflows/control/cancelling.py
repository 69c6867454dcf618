"""Cancels a task with everything beneath it."""

from lmx.workflows.control.subtree import Ending, end_trees, lock_trees
from lmx.workflows.control.transaction import Connection, record, root_of, transact
from lmx.workflows.database.connect import Database


def cancel(database: Database, task_id: int, *, reason: str = "it was cancelled") -> int:
    """Cancel a run or a task, finished or not, with all that is unfinished beneath it.

    Running attempts lose their leases at once: what they still return is refused, and what they
    may have cost is charged. A coordinator that waits for the task is woken. Returns how many
    tasks were cancelled; 0 if all had finished. Raises NotFound.
    """

    def work(conn: Connection) -> int:
        root_of(conn, task_id)
        tree = lock_trees(conn, [task_id])
        top = Ending(task_id, "cancelled", {"kind": "cancelled", "message": reason})
        ended = end_trees(conn, tree, [top])
        if ended.tasks:
            record(conn, task_id, "cancelled", tasks=len(ended.tasks), leased=len(ended.leased))
        return len(ended.tasks)

    return transact(database, work)
