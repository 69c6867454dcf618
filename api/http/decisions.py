"""Routes and what they decided, as the API answers with them. Money is dollars in a text."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from lmx.api.http.amounts import dollars
from lmx.workflows.routing.records import Recorded
from lmx.workflows.views import RoutedView


class Candidate(BaseModel):
    """A model that was looked at: `chosen`, `in`, `passed over` (for now) or `out`, and why."""

    model: str
    pool: str | None
    verdict: str
    reason: str
    cost: str | None = Field(description="The most that the call could cost with it.")
    wait_s: float


class Decision(BaseModel):
    """Why a model was chosen. `reason`: submitted, rerouted when the call had to wait, diverted
    when it had failed with another model."""

    at: datetime
    reason: str
    route: str
    rule: str
    rules_version: str
    model: str
    pool: str | None
    cost: str
    why: str
    features: dict[str, Any]
    candidates: list[Candidate]


class CandidateName(BaseModel):
    """A model that was looked at, and what became of it."""

    model: str
    pool: str | None
    verdict: str


class Routed(BaseModel):
    """Why a route has chosen a call's model; `GET /v1/tasks/{id}/decisions` has all of it."""

    route: str
    rule: str
    reason: str = Field(description="submitted, or rerouted when the call had to wait.")
    model: str
    pool: str | None
    why: str
    candidates: list[CandidateName]


class Decisions(BaseModel):
    """What was decided for a task, the first decision first."""

    decisions: list[Decision]


class Rule(BaseModel):
    """A rule; no routes means all of them."""

    rule: str
    routes: list[str]
    when: str | None
    models: list[str]
    order: str
    max_wait_s: float | None
    source: str


class Routes(BaseModel):
    """The names of all routes, and the rules in the order in which they are tried."""

    version: str
    routes: list[str]
    rules: list[Rule]


def decision_of(one: Recorded) -> Decision:
    """A recorded decision."""
    told = {name: getattr(one, name) for name in Decision.model_fields if name != "candidates"}
    told["cost"] = dollars(one.cost)
    return Decision(**told, candidates=[_candidate(row) for row in one.candidates])


def routed_of(view: RoutedView | None) -> Routed | None:
    """The latest decision in short; None if no route has chosen the model."""
    return None if view is None else Routed.model_validate(view, from_attributes=True)


def _candidate(row: Mapping[str, Any]) -> Candidate:
    cost = row["cost"]
    return Candidate(**{**row, "cost": None if cost is None else dollars(cost)})
