"""/v1/tasks: submit a task, read it, wait for it, cancel it, put it back."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from starlette.concurrency import run_in_threadpool

from lmx.api.http.decisions import Decisions, decision_of
from lmx.api.http.parameters import IdempotencyKey, TaskId, Wait
from lmx.api.http.requests import (
    EmbeddingCall,
    FunctionTask,
    ModelCall,
    TaskRequest,
    VerdictRequest,
)
from lmx.api.http.responses import Cancelled, Input, Judged, Submitted, Task, task_of
from lmx.api.http.services import Services, Shared
from lmx.api.http.submit import Submit, answer_submission
from lmx.api.preflight import has_form, refuse_malformed
from lmx.workflows import control, views
from lmx.workflows.database.callers import CallerConnection
from lmx.workflows.routing.records import decisions_of

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.post("", status_code=201, summary="Submit a task")
async def submit_task(
    body: Annotated[TaskRequest, Body()],
    response: Response,
    services: Shared,
    key: IdempotencyKey = None,
) -> Submitted:
    """Queue a call of a worker function or a model, or an embedding; answered after the commit."""
    if isinstance(body, ModelCall):
        submit = _model_call(services, body, key)
    elif isinstance(body, EmbeddingCall):
        submit = _embedding(services, body, key)
    else:
        submit = _function_task(services, body, key)
    return await answer_submission(services, key, submit, response, router.prefix)


def _function_task(services: Services, body: FunctionTask, key: str | None) -> Submit:
    return lambda connection: services.client.enqueue(
        body.function,
        args=body.args,
        kwargs=body.kwargs,
        queue=body.queue,
        priority=body.priority,
        delay=body.delay,
        max_attempts=body.max_attempts,
        time_limit=body.time_limit,
        timeout=body.timeout,
        budget=body.budget,
        idempotency_key=key,
        connection=connection,
    )


def _embedding(services: Services, body: EmbeddingCall, key: str | None) -> Submit:
    return lambda connection: services.client.embed(
        **body.model_dump(), idempotency_key=key, connection=connection
    )


def _model_call(services: Services, body: ModelCall, key: str | None) -> Submit:
    messages = (
        None
        if body.messages is None
        else [one.model_dump(exclude_none=True) for one in body.messages]
    )
    call = body.model_dump(exclude_none=True)

    def submit(connection: CallerConnection | None) -> int:
        if has_form(call) and body.model is not None:
            with services.database.connect() as reading:
                refuse_malformed(reading, body.model, call)
        return services.client.generate(
            model=body.model,
            route=body.route,
            labels=body.labels,
            private=body.private,
            prompt=body.prompt,
            messages=messages,
            max_tokens=body.max_tokens,
            priority=body.priority,
            timeout=body.timeout,
            budget=body.budget,
            when=body.when,
            idempotency_key=key,
            connection=connection,
            **body.sampling(),
        )

    return submit


@router.get("/{task_id}", summary="Read a task")
async def read_task(task_id: TaskId, services: Shared, wait: Wait = 0) -> Task:
    """Return the task as it is, or, with `wait`, as it is when it has ended or time is up."""
    view = await services.following.task(task_id, wait)
    return await run_in_threadpool(task_of, view)


@router.get("/{task_id}/input", summary="Read a task's input")
def read_input(task_id: TaskId, services: Shared) -> Input:
    """Return what the task was given."""
    found: Any = views.get_input(services.database, task_id)
    return Input(id=task_id, input=found)


@router.get("/{task_id}/decisions", summary="Read why a route has chosen its model")
def read_decisions(task_id: TaskId, services: Shared) -> Decisions:
    """Return what was decided for the task, and again if it was moved while it waited."""
    with services.database.connect(application_name="lmx api") as connection:
        found = decisions_of(connection, task_id)
    return Decisions(decisions=[decision_of(one) for one in found])


@router.post("/{task_id}/cancel", summary="Cancel a task and its children")
def cancel_task(task_id: TaskId, services: Shared) -> Cancelled:
    """Cancel the task and all that it has spawned; what has ended already stays as it is."""
    return Cancelled(cancelled=control.cancel(services.database, task_id))


@router.post("/{task_id}/retry", summary="Put a dead letter back into its queue")
def retry_task(task_id: TaskId, services: Shared) -> Task:
    """Make a failed task ready again."""
    control.retry(services.database, task_id)
    return task_of(views.get_task(services.database, task_id))


@router.post("/{task_id}/verdict", summary="Judge a model's answer")
def judge_answer(task_id: TaskId, body: VerdictRequest, services: Shared) -> Judged:
    """Say whether the answer of a call was good; rejected ones make routes choose other models."""
    fresh = control.judge(services.database, task_id, accepted=body.accepted, reason=body.reason)
    return Judged(fresh=fresh)
