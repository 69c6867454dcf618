"""What the API answers of runs and tasks. Times are RFC 3339; money is a text of dollars."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lmx.api.http.amounts import amount_of, usage_of
from lmx.api.http.decisions import Routed, routed_of
from lmx.workflows.views import BudgetView, EventView, RunView, TaskView


class Submitted(BaseModel):
    """A submission that has been committed; `created` is false if its key was used before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": 42, "created": True}]})

    id: int
    created: bool


class Budget(BaseModel):
    """What may be spent in one unit: `left` is the ceiling less the other three."""

    unit: str
    ceiling: int | str
    spent: int | str
    held: int | str
    granted: int | str
    left: int | str


class Partial(BaseModel):
    """What has come of an answer that is not whole: the end of each part, and its whole length."""

    attempt: int
    text: str = ""
    text_length: int = 0
    reasoning: str = ""
    reasoning_length: int = 0
    tool_calls: str = Field("", description="Names and arguments, as the model wrote them.")
    tool_calls_length: int = 0


class RunningPartial(BaseModel):
    """What a running call has written so far."""

    task_id: int
    partial: Partial


class Task(BaseModel):
    """One task. `state`: scheduled, ready, leased, parked, succeeded, failed or cancelled."""

    id: int
    run_id: int
    parent_id: int | None
    role: str
    name: str
    key: str | None
    queue: str
    state: str
    finished: bool
    priority: int
    attempts: int = Field(description="Executions that failed.")
    max_attempts: int
    deliveries: int = Field(description="Claims since it last made progress.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_at: datetime | None
    deadline: datetime | None
    waiting: int = Field(description="Children that it waits for.")
    waiting_for: str | None = Field(description="The signal that it waits for.")
    paused: bool = Field(description="It waits for its paused run to be resumed.")
    worker: str | None
    error: dict[str, Any] | None
    usage: dict[str, Any] | None = Field(description="Tokens, seconds, and `cost` in dollars.")
    progress: Any
    partial: Partial | None = Field(
        description="Of a call without a result: its answer so far, or when it ended."
    )
    output: Any
    budgets: list[Budget]
    routed: Routed | None = Field(description="Why a route has chosen the call's model.")


class Run(BaseModel):
    """One run, by its root task."""

    id: int
    name: str
    role: str
    queue: str
    state: str
    finished: bool
    paused: bool
    priority: int
    weight: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    forked_from: int | None
    error: dict[str, Any] | None
    usage: dict[str, Any] | None
    budgets: list[Budget]


class RunWithOutput(Run):
    """One run with what it returned."""

    output: Any


class Runs(BaseModel):
    """A page of runs, newest first; `next` is the `before` of the page after it."""

    runs: list[Run]
    next: int | None


class Tree(BaseModel):
    """A run's tasks, parents before their children, depth first."""

    run_id: int
    tasks: list[Task]


class Event(BaseModel):
    """Something that happened in a run; `cursor` is where reading goes on after it."""

    cursor: int
    at: datetime
    task_id: int
    name: str
    key: str | None
    kind: str
    data: dict[str, Any] | None


class Events(BaseModel):
    """Events of a run, oldest first; `next` is the `after` that asks for what follows."""

    events: list[Event]
    next: int


class Input(BaseModel):
    """What a task was given."""

    id: int
    input: Any


class Cancelled(BaseModel):
    """How many tasks were cancelled."""

    cancelled: int


class Judged(BaseModel):
    """A verdict that is recorded; `fresh` unless the same was said before."""

    fresh: bool


class Signalled(BaseModel):
    """A signal that was recorded."""

    task_id: int
    name: str


def task_of(view: TaskView) -> Task:
    """Return the answer for a task."""
    return Task(
        id=view.id,
        run_id=view.run_id,
        parent_id=view.parent_id,
        role=view.role,
        name=view.name,
        key=view.key,
        queue=view.queue,
        state=view.state,
        finished=view.finished,
        priority=view.priority,
        attempts=view.attempts,
        max_attempts=view.max_attempts,
        deliveries=view.deliveries,
        created_at=view.created_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        run_at=view.run_at,
        deadline=view.deadline,
        waiting=view.waiting,
        waiting_for=view.waiting_for,
        paused=view.shelved,
        worker=view.worker,
        error=view.error,
        usage=usage_of(view.usage),
        progress=view.progress,
        partial=Partial(**view.partial) if view.partial else None,
        output=view.output,
        budgets=[_budget_of(budget) for budget in view.budgets],
        routed=routed_of(view.routed),
    )


def run_of(view: RunView) -> Run:
    """Return the answer for a run without its output."""
    return Run(**_run_fields(view))


def run_with_output(view: RunView, output: Any) -> RunWithOutput:
    """Return the answer for one run."""
    return RunWithOutput(**_run_fields(view), output=output)


def _run_fields(view: RunView) -> dict[str, Any]:
    same = [name for name in Run.model_fields if name not in ("usage", "budgets")]
    return {
        **{name: getattr(view, name) for name in same},
        "usage": usage_of(view.usage),
        "budgets": [_budget_of(budget) for budget in view.budgets],
    }


def event_of(view: EventView) -> Event:
    """Return the answer for an event."""
    return Event(**{name: getattr(view, name) for name in Event.model_fields})


def _budget_of(view: BudgetView) -> Budget:
    amounts = ("ceiling", "spent", "held", "granted", "left")
    shown = {name: amount_of(view.unit, getattr(view, name)) for name in amounts}
    return Budget.model_validate({"unit": view.unit, **shown})
