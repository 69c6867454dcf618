"""The tables as SQLAlchemy Core sees them; `migrations/` creates them, a test compares the two."""

from lmx.workflows.database.tables.allowances import (
    allowance_charges,
    allowance_holds,
    allowance_periods,
    allowances,
)
from lmx.workflows.database.tables.batches import batch_calls, batches
from lmx.workflows.database.tables.columns import FINAL_STATES, ROLES, STATES, metadata
from lmx.workflows.database.tables.dramatiq import arrivals, rate_limits, results
from lmx.workflows.database.tables.engine import devices, models, vram_holds, vram_leases
from lmx.workflows.database.tables.money import budgets, charges, holds
from lmx.workflows.database.tables.providers import (
    calls,
    cloud_models,
    files,
    pool_news,
    pools,
    task_files,
)
from lmx.workflows.database.tables.records import checkpoints, events, memory, signals
from lmx.workflows.database.tables.retention import pruned, pruned_budgets
from lmx.workflows.database.tables.routing import decisions
from lmx.workflows.database.tables.work import catalog, lanes, queues, runs, tasks, workers

__all__ = [
    "FINAL_STATES",
    "ROLES",
    "STATES",
    "allowance_charges",
    "allowance_holds",
    "allowance_periods",
    "allowances",
    "arrivals",
    "batch_calls",
    "batches",
    "budgets",
    "calls",
    "catalog",
    "charges",
    "checkpoints",
    "cloud_models",
    "decisions",
    "devices",
    "events",
    "files",
    "holds",
    "lanes",
    "memory",
    "metadata",
    "models",
    "pool_news",
    "pools",
    "pruned",
    "pruned_budgets",
    "queues",
    "rate_limits",
    "results",
    "runs",
    "signals",
    "task_files",
    "tasks",
    "vram_holds",
    "vram_leases",
    "workers",
]
