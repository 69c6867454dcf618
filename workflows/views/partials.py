"""What the running calls of a run have written so far."""

from typing import Any

from sqlalchemy import select

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import tasks
from lmx.workflows.partial import PARTIAL
from lmx.workflows.views.tasks import tree_ids


def running_partials(database: Database, run_id: int) -> dict[int, dict[str, Any]]:
    """The answers so far (`Partial.end`) of a run's leased tasks that have begun one, by task."""
    tree = tree_ids(run_id)
    partial = tasks.c.progress[PARTIAL]
    query = (
        select(tasks.c.id, partial)
        .select_from(tree.join(tasks, tasks.c.id == tree.c.id))
        .where(tasks.c.state == "leased", partial.is_not(None))
        .order_by(tasks.c.id)
    )
    with database.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
