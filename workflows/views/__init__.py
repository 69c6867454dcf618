"""What people and programs see of tasks, runs, queues and workers: reads only."""

from lmx.workflows.budgets import BudgetView, Discrepancy, check_budgets
from lmx.workflows.views.batches import BatchView, list_batches
from lmx.workflows.views.calls import Batched, CallView, Shortage, model_calls
from lmx.workflows.views.events import EventView, run_events
from lmx.workflows.views.overview import QueueView, WorkerView, list_queues, list_workers
from lmx.workflows.views.partials import running_partials
from lmx.workflows.views.routed import CandidateName, RoutedView
from lmx.workflows.views.runs import RunView, get_run, list_runs
from lmx.workflows.views.tasks import (
    TaskView,
    fetch_tasks,
    get_input,
    get_task,
    get_tree,
)

__all__ = [
    "BatchView",
    "Batched",
    "BudgetView",
    "CallView",
    "CandidateName",
    "Discrepancy",
    "EventView",
    "QueueView",
    "RoutedView",
    "RunView",
    "Shortage",
    "TaskView",
    "WorkerView",
    "check_budgets",
    "fetch_tasks",
    "get_input",
    "get_run",
    "get_task",
    "get_tree",
    "list_batches",
    "list_queues",
    "list_runs",
    "list_workers",
    "model_calls",
    "run_events",
    "running_partials",
]
