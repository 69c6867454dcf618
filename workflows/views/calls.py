"""Which models the tasks of a run call."""

from sqlalchemy import select

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import tasks
from lmx.workflows.names import GENERATE
from lmx.workflows.views.tasks import tree_ids


def called_models(database: Database, run_id: int) -> dict[int, str]:
    """Return the model by task id, for all model calls of a run (or beneath any task)."""
    tree = tree_ids(run_id)
    query = (
        select(tasks.c.id, tasks.c.input["model"].astext)
        .select_from(tree.join(tasks, tasks.c.id == tree.c.id))
        .where(tasks.c.name == GENERATE)
    )
    with database.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query) if row[1] is not None}
