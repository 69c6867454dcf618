"""What may be spent in a day, a month or in all, and what was."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lmx.api.http.amounts import amount_of
from lmx.api.http.services import Shared
from lmx.workflows.allowances.rules import AllowanceView, list_allowances

router = APIRouter(tags=["money"])
_AMOUNTS = ("ceiling", "spent", "held", "left", "unknown")


class Allowance(BaseModel):
    """An allowance in its present period. Dollars are decimal strings, other units integers."""

    scope: str = Field(description='An account ("anthropic/default"), or "*" for all calls.')
    unit: str
    per: str = Field(description="day, month or total")
    zone: str
    ceiling: int | str
    spent: int | str
    held: int | str
    left: int | str
    unknown: int | str = Field(
        description="What was charged at its hold because nobody knows what became of the call."
    )
    starts_at: datetime | None = Field(description="None before its first call.")
    ends_at: datetime | None


class Allowances(BaseModel):
    """All allowances."""

    allowances: list[Allowance]


@router.get("/v1/allowances", summary="List allowances")
def allowances(services: Shared) -> Allowances:
    """Return what calls in the cloud may spend, and what they have spent and hold."""
    with services.database.connect(application_name="lmx api") as connection:
        found = list_allowances(connection)
    return Allowances(allowances=[_allowance(view) for view in found])


def _allowance(view: AllowanceView) -> Allowance:
    same = ("scope", "unit", "per", "zone", "starts_at", "ends_at")
    shown = {name: getattr(view, name) for name in same}
    amounts = {name: amount_of(view.unit, getattr(view, name)) for name in _AMOUNTS}
    return Allowance.model_validate({**shown, **amounts})
