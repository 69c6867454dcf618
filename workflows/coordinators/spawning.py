"""Starts a child: its row, its budget and all that comes with it, once in all replays."""

from collections.abc import Callable
from typing import Any

import orjson

from lmx.workflows.coordinators.handles import Child
from lmx.workflows.coordinators.journal import Journal
from lmx.workflows.errors import InvalidInput
from lmx.workflows.generation import Terms
from lmx.workflows.providers.planning import placed
from lmx.workflows.submission import Options, budget_rows, encode_input


def spawn_child(
    journal: Journal,
    base: str,
    name: str,
    role: str,
    options: Options,
    body: Callable[[], tuple[Any, str, Terms]],
    cost: float,
) -> Child[Any]:
    """Buffer the spawn of a child that was not spawned before, and return its handle.

    `base` is its key, to be numbered; `body` gives its input, queue and terms, and is called only
    for a new child. Raises InvalidInput, and what `body` raises.
    """
    key = journal.name("spawn", base)
    child: Child[Any] = Child(key, name)
    if key in journal.history.children or journal.refusal(key) is not None:
        return child
    options.check()
    if not cost > 0:
        raise InvalidInput(f"cost is {cost}", hint="it must be above 0")
    payload, queue, terms = body()
    options = options.last() if terms.last else options
    budget = options.budget or (terms.reserve if journal.lease.budgeted else None)
    limit = options.time_limit or terms.time_limit
    journal.spawn(
        {
            "key": key,
            "name": name,
            "queue": queue,
            "role": role,
            "nesting": options.nesting,
            "priority": options.priority,
            "cost": cost,
            "delay": options.delay,
            "max_attempts": options.max_attempts,
            "time_limit_ms": limit and int(limit * 1000),
            "timeout": options.timeout,
            "budgeted": bool(budget),
            "input": orjson.Fragment(encode_input(payload)),
        },
        budget_rows(budget, terms.reserve, lost=terms.lost, derived=not options.budget),
        None if terms.placement is None else placed({}, terms.placement),
        [file.sha256 for file in terms.files],
        terms.decision,
    )
    return child
