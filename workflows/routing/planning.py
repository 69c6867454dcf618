"""From what a caller asks to a planned call: a model named or chosen, and why it was chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from lmx.workflows.call_options import check_call
from lmx.workflows.cheap import check_when, refuse_hurried
from lmx.workflows.config import load_settings
from lmx.workflows.errors import InvalidInput, LmxError, Refused
from lmx.workflows.generation import (
    PlannedCall,
    place_call,
    plan_call,
    refuse_unaffordable,
)
from lmx.workflows.money import USD
from lmx.workflows.providers.publishing import is_cloud_model
from lmx.workflows.routing.decide import Decision, NobodyCan, Option, decide, without
from lmx.workflows.routing.features import Ask, Features, features_of
from lmx.workflows.routing.options import survey
from lmx.workflows.routing.records import row_of
from lmx.workflows.routing.rules import load_rules
from lmx.workflows.submission import Budgets

Connection = psycopg.Connection[Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as its caller gives it: with a `model`, or with a `route` that chooses one.

    `labels` and `private` are for routes, too: see `Ask`. `budget` is what it may cost of each
    unit, `run` that of the coordinator that makes the call. `when` is "cheap" for a call that may
    wait, `within` the seconds in which it must have ended.
    """

    model: str | None = None
    route: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    private: bool = False
    prompt: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    max_tokens: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    budget: Budgets = field(default_factory=dict)
    run: int | None = None
    when: str | None = None
    within: float | None = None

    def ask(self) -> Ask:
        """What is asked of routing. Raises InvalidInput if a model is named, or nothing is."""
        if self.model is not None:
            raise InvalidInput("give either a model or a route, not both")
        if self.route is None and not self.labels and not self.private:
            raise InvalidInput("name a model or a route", hint="`lmx route list` shows the routes")
        ask = Ask(labels=self.labels, private=self.private)
        ask = ask if self.route is None else replace(ask, route=self.route)
        ask.check()
        return ask

    def checked(self) -> dict[str, Any]:
        """The call as its task's input has it, but for the model. Raises InvalidInput."""
        return check_call(self.prompt, self.messages, self.max_tokens, self.sampling, self.run)

    def features(self, call: Mapping[str, Any]) -> Features:
        """What rules see of it."""
        return features_of(
            call,
            self.ask(),
            max_tokens=self.max_tokens,
            priority=self.priority,
            budget=self.budget.get(USD),
            in_run=self.run is not None,
            cheap=check_when(self.when),
        )


def plan_asked(conn: Connection, asked: Asked, home: Path | None = None) -> PlannedCall:
    """Plan a call for the model that it names, or else for one that a route chooses.

    Errors: as for `plan_call`; Refused for a private call of a cloud model, or if no model can take
    it; NotFound for an unknown route; ConfigError for rules that cannot be read.
    """
    if asked.model is None or asked.route is not None or asked.labels:
        return route_call(conn, asked, home)[0]
    if asked.private and is_cloud_model(conn, asked.model):
        raise Refused(
            f"the call is private, and {asked.model} is a cloud model",
            hint="name a local model, or the route `private`",
        )
    return plan_call(
        conn,
        model=asked.model,
        prompt=asked.prompt,
        messages=asked.messages,
        max_tokens=asked.max_tokens,
        sampling=asked.sampling,
        run=asked.run,
        when=asked.when,
        within=asked.within,
    )


def explain(conn: Connection, asked: Asked, home: Path | None = None) -> Decision:
    """What would be decided now, if only why nobody can. Errors: as for `plan_asked`."""
    try:
        return route_call(conn, asked, home)[1]
    except NobodyCan as nobody:
        return nobody.decision


def route_call(
    conn: Connection, asked: Asked, home: Path | None = None
) -> tuple[PlannedCall, Decision]:
    """Choose a model by the rules of `home` (LMX_HOME) and plan the call for it."""
    features = asked.features(call := asked.checked())
    rules = load_rules(home or load_settings().home)
    options = survey(conn, n_ctx=features.n_ctx).options(features)

    def plan(option: Option) -> PlannedCall:
        planned = place_call(
            conn, call, option.model, asked.max_tokens, option.pool_id, cheap=features.cheap
        )
        if planned.batched:
            refuse_hurried(asked.within)
        refuse_unaffordable(planned, asked.budget)
        return planned

    planned, decision = plan_decided(options, lambda known: decide(features, rules, known), plan)
    said = {**call, "max_tokens": asked.max_tokens, "ask": asdict(asked.ask())}
    said = said if asked.when is None else {**said, "when": asked.when}
    row = row_of(decision) | {"cost": planned.worst_case}
    if features.cheap:
        row["again_in"] = None  # it may wait for a day where it is
    return replace(planned, decision=row, asked=said), decision


def plan_decided(
    options: Sequence[Option],
    decide_among: Callable[[Sequence[Option]], Decision],
    plan: Callable[[Option], T],
) -> tuple[T, Decision]:
    """Decide and plan; what its own plan refuses is out, and another option is chosen.

    Raises NobodyCan.
    """
    while True:
        decision = decide_among(options)
        chosen = decision.required()
        try:
            return plan(chosen), decision
        except LmxError as error:
            options = without(options, chosen, error.message)


def left_in_budgets(conn: Connection, task_id: int) -> dict[str, int]:
    """What a task can still hold or grant, by unit; nothing of units that it has no budget in."""
    rows = conn.execute(
        "SELECT unit, ceiling - spent - held - granted FROM lmx.budgets WHERE task_id = %s",
        [task_id],
    )
    return {unit: int(left) for unit, left in rows}
