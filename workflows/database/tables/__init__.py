"""The tables as SQLAlchemy Core sees them; `migrations/` creates them, a test compares the two."""

from lmx.workflows.database.tables.columns import FINAL_STATES, ROLES, STATES, metadata
from lmx.workflows.database.tables.dramatiq import arrivals, rate_limits, results
from lmx.workflows.database.tables.engine import devices, models, vram_holds, vram_leases
from lmx.workflows.database.tables.money import budgets, charges, holds
from lmx.workflows.database.tables.records import checkpoints, events, memory, signals
from lmx.workflows.database.tables.work import catalog, lanes, queues, runs, tasks, workers

__all__ = [
    "FINAL_STATES",
    "ROLES",
    "STATES",
    "arrivals",
    "budgets",
    "catalog",
    "charges",
    "checkpoints",
    "devices",
    "events",
    "holds",
    "lanes",
    "memory",
    "metadata",
    "models",
    "queues",
    "rate_limits",
    "results",
    "runs",
    "signals",
    "tasks",
    "vram_holds",
    "vram_leases",
    "workers",
]
