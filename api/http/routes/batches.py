"""The batches in which patient calls wait at their providers, and those that have ended."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from lmx.api.http.services import Shared
from lmx.workflows import views

router = APIRouter(tags=["batches"])


class Batch(BaseModel):
    """A batch of calls. `state`: sending, processing, cancelling, ended or refused."""

    id: int
    pool: str
    model: str
    state: str
    provider_id: str | None = Field(description="What the provider calls it.")
    calls: int = Field(description="Calls that were sent in it.")
    waiting: int = Field(description="Calls that still wait for it.")
    succeeded: int
    failed: int = Field(description="Calls that were given back or did not succeed there.")
    late: int = Field(description="Calls that had ended before their answers came.")
    created_at: datetime
    polled_at: datetime | None
    next_at: datetime | None = Field(description="When somebody looks after it again.")
    expires_at: datetime | None = Field(description="When the provider ends it.")
    ended_at: datetime | None
    error: str | None


class Batches(BaseModel):
    """A page of batches, newest first; `next` is the `before` of the page after it."""

    batches: list[Batch]
    next: int | None


@router.get("/v1/batches", summary="List batches")
def list_batches(
    services: Shared,
    state: Annotated[str | None, Query(description="A batch's state, or `active`.")] = None,
    pool: Annotated[str | None, Query(description="The pool's name.")] = None,
    model: Annotated[str | None, Query(description="The model's name.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Batches:
    """Return the latest batches of calls queued with `"when": "cheap"`, newest first."""
    found = views.list_batches(
        services.database, state=state, pool=pool, model=model, limit=limit, before=before
    )
    shown = [Batch(**{name: getattr(view, name) for name in Batch.model_fields}) for view in found]
    return Batches(batches=shown, next=found[-1].id if len(found) == limit else None)
