"""A worker process of the queue `gpu` whose model answers at once with a token and a price."""

from collections.abc import Sequence
from typing import Any

from lmx.workers.process import WorkerProcess, serve
from lmx.workers.running import Execution
from lmx.workflows.config import load_settings
from lmx.workflows.database.connect import Database, resolve_database
from tests.support.flows import MODEL, note

#: What one call costs, and the prices (per million tokens) that its worst case is computed with.
COST = 70
PRICES = (1_000_000, 2_000_000)


def main(arguments: Sequence[str]) -> int:
    """Serve the queue named by the first argument with the slots named by the third."""
    settings = load_settings()
    queue, _, slots = arguments
    database = resolve_database(settings)
    serve(WorkerProcess(settings, database, queue, int(slots), bodies={"generate": _answer}))
    return 0


def register(database: Database) -> None:
    """Add the model to the database's models."""
    with database.connect() as conn:
        conn.execute(
            "INSERT INTO lmx.models (name, path, sha256, size_bytes, n_ctx,"
            " usd_nano_per_mtok_in, usd_nano_per_mtok_out, info)"
            " VALUES (%s, '/nowhere', '', 1, 256, %s, %s, '{}')",
            [MODEL, *PRICES],
        )


def _answer(execution: Execution) -> tuple[Any, dict[str, Any]]:
    task_id = execution.task.task_id
    answer = {"text": note("call", task=task_id), "finish_reason": "stop", "model": MODEL}
    return answer, {"model": MODEL, "prompt_tokens": 3, "completion_tokens": 5, "cost": COST}
