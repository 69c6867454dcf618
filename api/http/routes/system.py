"""Queues, workers and models, and whether the server is alive and ready."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lmx.api.http.amounts import dollars
from lmx.api.http.decisions import Routes, Rule
from lmx.api.http.services import Shared
from lmx.workflows import control, models, views
from lmx.workflows.config import load_settings
from lmx.workflows.database import migrate
from lmx.workflows.routing.rules import describe, load_rules

router = APIRouter(tags=["system"])


class Queue(BaseModel):
    """A queue and how many tasks wait in it."""

    name: str
    paused: bool
    ready: int
    leased: int
    scheduled: int
    shelved: int


class Queues(BaseModel):
    """All queues."""

    queues: list[Queue]


class Worker(BaseModel):
    """A worker process; `leased` is how many tasks it holds."""

    id: int
    name: str
    queues: list[str]
    host: str
    pid: int
    started_at: datetime
    expires_at: datetime
    alive: bool
    leased: int


class Workers(BaseModel):
    """The worker processes that have not signed off."""

    workers: list[Worker]


class Model(BaseModel):
    """A registered local model. Prices are dollars per million tokens; `needs` bytes by n_ctx."""

    name: str
    size_bytes: int
    sha256: str
    n_ctx: int
    price_in: str
    price_out: str
    needs: dict[int, int]
    info: Mapping[str, Any]
    added_at: datetime | None


class Models(BaseModel):
    """All registered models."""

    models: list[Model]


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


@router.get("/v1/queues", summary="List queues")
def list_queues(services: Shared) -> Queues:
    """Return all queues and how many tasks wait in each."""
    found = views.list_queues(services.database)
    return Queues(
        queues=[
            Queue(**{name: getattr(view, name) for name in Queue.model_fields}) for view in found
        ]
    )


@router.post("/v1/queues/{name}/pause", summary="Pause a queue")
def pause_queue(name: str, services: Shared) -> Queues:
    """Let no further task of the queue start."""
    control.pause_queue(services.database, name)
    return list_queues(services)


@router.post("/v1/queues/{name}/resume", summary="Resume a queue")
def resume_queue(name: str, services: Shared) -> Queues:
    """Let the queue's tasks start again."""
    control.resume_queue(services.database, name)
    return list_queues(services)


@router.get("/v1/workers", summary="List workers")
def list_workers(services: Shared) -> Workers:
    """Return the worker processes that have not signed off."""
    found = views.list_workers(services.database)
    return Workers(
        workers=[
            Worker(**{name: getattr(view, name) for name in Worker.model_fields}) for view in found
        ]
    )


@router.get("/v1/models", summary="List models")
def list_models(services: Shared) -> Models:
    """Return the local models that may be called."""
    with services.database.connect(application_name="lmx api") as connection:
        found = models.list_models(connection)
    return Models(models=[_model_of(row) for row in found])


@router.get("/v1/routes", summary="List routes")
def list_routes() -> Routes:
    """Return the rules that choose models for calls which name a route."""
    rules = load_rules(load_settings().home)
    known = [Rule(**{key: row[key] for key in Rule.model_fields}) for row in describe(rules.rules)]
    return Routes(version=rules.version, routes=list(rules.routes), rules=known)


@router.get("/healthz", summary="Is the server alive?")
async def alive() -> Health:
    """Answer without looking at the database."""
    return Health()


@router.get("/readyz", summary="Is the server ready?")
def ready(services: Shared) -> Health:
    """Answer 503 with the reason unless the database answers and its schema is current."""
    migrate.require_current(services.database)
    return Health()


def _model_of(row: models.Model) -> Model:
    return Model(
        name=row.name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        n_ctx=row.n_ctx,
        price_in=dollars(row.price_in),
        price_out=dollars(row.price_out),
        needs={n_ctx: need.total for n_ctx, need in row.needs.items()},
        info=row.info,
        added_at=row.added_at,
    )
