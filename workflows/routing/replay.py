"""What other rules would have chosen for the calls of the past: recorded features, replayed.

Which models there are and what they can do is as it is now; how long each would have made a call
wait is as it was then, where that was written down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import psycopg

from lmx.workflows.errors import LmxError, NotFound
from lmx.workflows.money import price
from lmx.workflows.providers.pricing import Tokens
from lmx.workflows.providers.publishing import now
from lmx.workflows.retention.kept import pruned_before
from lmx.workflows.routing.decide import Option, decide
from lmx.workflows.routing.features import read_features
from lmx.workflows.routing.options import Survey, survey
from lmx.workflows.routing.rules import Rules

Connection = psycopg.Connection[Any]

_LOGGED: Final = """
SELECT o.task_id, o.at, o.route, o.rule, o.model, o.features, o.candidates,
       CASE WHEN o.last THEN o.spent END, o.prompt_tokens, o.completion_tokens
FROM lmx.decision_outcomes o
WHERE o.reason = 'submitted' AND o.at >= clock_timestamp() - make_interval(secs => %(since)s)
ORDER BY o.id
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One call of the past: what was chosen then, and what the new rules would choose now.

    `now_model` is None where no model could take it: `problem` says why. `spent` is what the call
    has cost; `would_cost` what its tokens would cost with the new model. Both are nano-dollars,
    None where nobody can tell.
    """

    task_id: int
    at: datetime
    route: str
    then_rule: str
    then_model: str
    now_rule: str | None
    now_model: str | None
    problem: str | None
    spent: int | None
    would_cost: int | None

    @property
    def changed(self) -> bool:
        """Whether another model would be chosen."""
        return self.now_model != self.then_model

    @property
    def difference(self) -> int | None:
        """Nano-dollars by which the call would be dearer (or, below 0, cheaper)."""
        if self.spent is None or self.would_cost is None:
            return None
        return self.would_cost - self.spent


def replay(conn: Connection, rules: Rules, since_s: float) -> Iterable[Replayed]:
    """Replay the calls that routes have placed in the last `since_s` seconds over other rules."""
    known_now = survey(conn)
    rows = conn.cursor().stream(_LOGGED, {"since": since_s})
    for task, at, route, rule, model, features, candidates, spent, read, written in rows:
        known = read_features(features)
        options = _as_then(known_now.options(known), candidates)
        try:
            decision = decide(known, rules, options)
            chosen, problem = decision.required(), None
            name, by = chosen.model, decision.rule
        except LmxError as error:
            name, by, problem = None, None, error.message
        tokens = None if read is None else Tokens(input=read, output=written or 0)
        would = _cost(known_now, name, tokens) if name != model else spent
        yield Replayed(task, at, route, rule, model, by, name, problem, spent, would)


def missing_before(conn: Connection, since_s: float) -> datetime | None:
    """Before when calls of the last `since_s` seconds may be missing; None if all are there."""
    before = pruned_before(conn, "records")
    if before is None:
        return None
    asked = conn.execute("SELECT now() - make_interval(secs => %s) < %s", [since_s, before])
    return before if asked.fetchone() == (True,) else None


def _as_then(options: Iterable[Option], candidates: Iterable[Mapping[str, Any]]) -> list[Option]:
    """The options, waiting as long as they made calls wait then."""
    waits = {(row["model"], row["pool"]): row["wait_s"] for row in candidates}
    return [
        replace(
            one,
            wait_s=waits.get((one.model, one.pool), 0.0),
            waits_for="as then",
            attended=True,
            avoid=None,
        )
        for one in options
    ]


def _cost(known: Survey, name: str | None, used: Tokens | None) -> int | None:
    """What these tokens cost with a model now."""
    if name is None or used is None:
        return None
    for row, _ in known.local:
        if row.name == name:
            return price(used.prompt, row.price_in) + price(used.output, row.price_out)
    try:
        prices = next(one.prices for one in known.published if one.model.id == name)
        return prices.find(name, used.prompt, now()).cost(used)
    except (NotFound, StopIteration):
        return None
