"""`lmx enqueue` for a call whose model a route chooses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmx.api.cli.output import note
from lmx.workflows.errors import InvalidInput

if TYPE_CHECKING:
    from lmx.api.cli.session import Session


def routed_by(
    model: str | None,
    route: str | None,
    labels: list[str] | None,
    *,
    private: bool,
    explain: bool,
) -> dict[str, Any] | None:
    """What is asked of routing; None if the call goes to a model by its name.

    Raises InvalidInput for options that contradict each other.
    """
    from lmx.api.cli.decisions import parse_labels

    chooses = {"route": route, "labels": parse_labels(labels or []), "private": private}
    if model is not None and (route is not None or labels):
        raise InvalidInput("give either --model or --route (with --label), not both")
    if route is not None or (model is None and (labels or private)):
        return chooses
    if explain:
        raise InvalidInput("--explain is for a route", hint="name one with --route")
    return None


def submit_by_route(
    opened: "Session",
    call: Mapping[str, Any],
    sampling: Mapping[str, Any],
    common: Mapping[str, Any],
    *,
    explain: bool,
    as_json: bool,
) -> int | None:
    """Queue a call by its route, tell a person what was chosen, and return the task's id.

    With `explain` only the choice is shown.
    """
    from lmx.api.cli.decisions import print_decision
    from lmx.api.preflight import has_form, refuse_malformed
    from lmx.workflows.routing import planning, records

    if explain or has_form(sampling):
        asked = planning.Asked(
            **call,
            sampling=sampling,
            priority=common["priority"],
            budget=common["budget"] or {},
            within=common["timeout"],
        )
        decision = planning.explain(opened.connection, asked, opened.settings.home)
        if explain:
            print_decision(decision, as_json=as_json)
            return None
        refuse_malformed(opened.connection, decision.required().model, {**call, **sampling})
    task_id = opened.client.generate(**call, **sampling, **common)
    if not as_json:
        decided = records.decisions_of(opened.connection, task_id)[0]
        note(f"{decided.model}: {decided.why}; lmx route explain {task_id} tells more")
    return task_id
