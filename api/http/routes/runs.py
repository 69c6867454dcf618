"""/v1/runs: start a run, list runs, follow one, control it."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from lmx.api.http.parameters import IdempotencyKey, RunId, Wait
from lmx.api.http.requests import RunRequest, SignalRequest
from lmx.api.http.responses import (
    Cancelled,
    Events,
    Run,
    Runs,
    RunWithOutput,
    Signalled,
    Submitted,
    Tree,
    event_of,
    run_of,
    run_with_output,
    task_of,
)
from lmx.api.http.services import Shared
from lmx.api.http.submit import answer_submission
from lmx.workflows import control, views
from lmx.workflows.database.callers import CallerConnection

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.post("", status_code=201, summary="Start a run")
async def submit_run(
    body: Annotated[RunRequest, Body()],
    response: Response,
    services: Shared,
    key: IdempotencyKey = None,
) -> Submitted:
    """Start a run of a workflow; answered after the commit."""

    def submit(connection: CallerConnection | None) -> int:
        return services.client.start(
            body.workflow,
            args=body.args,
            kwargs=body.kwargs,
            weight=body.weight,
            nesting=body.nesting,
            budget=body.budget,
            priority=body.priority,
            delay=body.delay,
            timeout=body.timeout,
            idempotency_key=key,
            connection=connection,
        )

    return await answer_submission(services, key, submit, response, router.prefix)


@router.get("", summary="List runs")
def list_runs(
    services: Shared,
    state: Annotated[str | None, Query(description="A task state, or `active`.")] = None,
    name: Annotated[str | None, Query(description="The workflow's name.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Runs:
    """Return the latest runs, newest first, stand-alone tasks among them."""
    found = views.list_runs(services.database, state=state, name=name, limit=limit, before=before)
    more = found[-1].id if len(found) == limit else None
    return Runs(runs=[run_of(view) for view in found], next=more)


@router.get("/{run_id}", summary="Read a run")
async def read_run(run_id: RunId, services: Shared, wait: Wait = 0) -> RunWithOutput:
    """Return the run as it is, or, with `wait`, as it is when it has ended or time is up."""
    await run_in_threadpool(views.get_run, services.database, run_id)
    root = await services.following.task(run_id, wait)
    run = await run_in_threadpool(views.get_run, services.database, run_id)
    return run_with_output(run, root.output)


@router.get("/{run_id}/tree", summary="Read a run's spawn tree")
def read_tree(run_id: RunId, services: Shared, outputs: bool = True) -> Tree:
    """Return all tasks of the run, parents before their children; `outputs=false` is lighter."""
    found = views.get_tree(services.database, run_id, outputs=outputs)
    return Tree(run_id=run_id, tasks=[task_of(view) for view in found])


@router.get(
    "/{run_id}/events",
    summary="Read or follow a run's events",
    response_model=Events,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "The stream is complete: do not connect again."},
    },
)
async def read_events(
    run_id: RunId,
    request: Request,
    services: Shared,
    after: Annotated[int, Query(ge=0, le=2**53, description="A cursor.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    partial: Annotated[
        bool, Query(description="Stream what running calls have written so far, too.")
    ] = False,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**53)] = None,
) -> Response:
    """Return a page of events, or, for `Accept: text/event-stream`, each one as it happens.

    A stream ends after the run's last event; `Last-Event-ID` goes on after that event. With
    `partial`, an event `partial` tells about once a second the end of each answer that has grown.
    """
    if "text/event-stream" in request.headers.get("accept", ""):
        return await services.following.stream(run_id, last_event_id or after, partial=partial)
    page = await run_in_threadpool(views.run_events, services.database, run_id, after, limit=limit)
    events = Events(
        events=[event_of(view) for view in page], next=page[-1].cursor if page else after
    )
    return JSONResponse(events.model_dump(mode="json"))


@router.post("/{run_id}/cancel", summary="Cancel a run")
def cancel_run(run_id: RunId, services: Shared) -> Cancelled:
    """Cancel all of the run that has not ended."""
    views.get_run(services.database, run_id)
    return Cancelled(cancelled=control.cancel(services.database, run_id))


@router.post("/{run_id}/pause", summary="Pause a run")
def pause_run(run_id: RunId, services: Shared) -> Run:
    """Let no further task of the run start; what is being executed goes on."""
    control.pause_run(services.database, run_id)
    return run_of(views.get_run(services.database, run_id))


@router.post("/{run_id}/resume", summary="Resume a run")
def resume_run(run_id: RunId, services: Shared) -> Run:
    """Let a paused run go on, or take a failed one up again from its last checkpoint."""
    run = views.get_run(services.database, run_id)
    if run.state == "failed":
        control.resume_failed_run(services.database, run_id)
    else:
        control.resume_run(services.database, run_id)
    return run_of(views.get_run(services.database, run_id))


@router.post("/{run_id}/signals/{name}", status_code=202, summary="Send a signal to a run")
def signal_run(run_id: RunId, name: str, body: SignalRequest, services: Shared) -> Signalled:
    """Record a message for the run's coordinator, which may be waiting for it."""
    views.get_run(services.database, run_id)
    control.signal(services.database, run_id, name, body.payload)
    return Signalled(task_id=run_id, name=name)
