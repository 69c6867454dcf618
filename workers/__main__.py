"""`python -m lmx.workers QUEUE`: one worker process.

The queues that `lmx up` serves: coordinator, default (worker functions), gpu (local models), and
one for each provider of cloud models whose key is there.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import psycopg

from lmx.workers.cloud.launch import accounts_of, cloud_process
from lmx.workers.process import WorkerProcess, serve
from lmx.workflows import library, registry
from lmx.workflows.config import Settings, load_settings
from lmx.workflows.database.connect import resolve_database
from lmx.workflows.database.migrate import require_current
from lmx.workflows.errors import EXIT_INSTALLATION, DatabaseUnavailable, EngineUnusable, LmxError
from lmx.workflows.names import GPU
from lmx.workflows.providers.catalog import load_catalog


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one queue; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lmx.workers", description=__doc__)
    parser.add_argument("queue", help="the queue to serve")
    parser.add_argument("--slots", type=int, help="tasks at once (default: LMX_WORKER_SLOTS)")
    asked = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("dramatiq").setLevel(logging.ERROR)
    try:
        settings = load_settings()
        serve(_process(settings, asked.queue, asked.slots or settings.worker_slots))
    except EngineUnusable as error:
        sys.stderr.write(f"lmx worker {asked.queue}: {error}\n")
        return EXIT_INSTALLATION
    except LmxError as error:
        sys.stderr.write(f"lmx worker {asked.queue}: {error}\n")
        return error.exit_code
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        sys.stderr.write(f"lmx worker {asked.queue}: the database left while it began: {reason}\n")
        return DatabaseUnavailable.exit_code
    return 0


def _process(settings: Settings, queue: str, slots: int) -> WorkerProcess:
    database = resolve_database(settings)
    require_current(database)
    library.load()
    registry.load_modules(settings.workflow_modules)
    if queue == GPU:
        try:
            from lmx.workers.gpu import gpu_process
        except ImportError as error:
            raise EngineUnusable(str(error)) from None
        return gpu_process(settings, database, slots)
    if accounts := accounts_of(load_catalog(settings.home), queue):
        return cloud_process(settings, database, queue, accounts)
    return WorkerProcess(settings, database, queue, slots)


if __name__ == "__main__":
    sys.exit(main())
