"""A scenario's calls: planned, queued, and what became of them by lmx's own records."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from lmx.api.rehearsal.scenario import Agents
from lmx.workflows import generation
from lmx.workflows.client import Client
from lmx.workflows.money import USD

_AT_ONCE: Final = 500

_RECORDS: Final = """
SELECT coalesce(p.name, 'local/' || (t.input ->> 'model')), t.state::text, c.charged_at,
       extract(epoch FROM t.started_at)::float8, extract(epoch FROM t.finished_at)::float8,
       t.usage, p.limits,
       (SELECT count(*) FROM lmx.events e
        WHERE e.run_id = t.root_id AND e.task_id = t.id AND e.kind = 'rate_limited')
FROM lmx.tasks t LEFT JOIN lmx.calls c ON c.task_id = t.id LEFT JOIN lmx.pools p ON p.id = c.pool_id
WHERE t.id = ANY(%s::bigint[])
"""
_UNDONE: Final = (
    "SELECT count(*) FROM lmx.tasks WHERE id = ANY(%s::bigint[])"
    " AND state NOT IN ('succeeded', 'failed', 'cancelled')"
)


@dataclass(slots=True)
class Recorded:
    """What lmx has recorded of a pool's calls.

    `seconds` counts by dimension at the time of the charge, on the pool's clock (for a local model
    when the call ended, on the database's); `started` are the times, on the database's clock, at
    which calls started.
    """

    planned: int = 0
    seconds: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    limits: Sequence[Mapping[str, Any]] = ()
    refused: int = 0
    started: list[float] = field(default_factory=list)


def worst_case(conn: psycopg.Connection[Any], agents: Agents) -> int:
    """The most that one call of these agents can cost, in nano-dollars. Raises NotFound."""
    return generation.plan_call(
        conn,
        model=agents.model,
        prompt=_prompt(agents, 0),
        messages=None,
        max_tokens=agents.max_tokens,
        sampling={},
    ).worst_case


def queue_calls(client: Client, agents: Agents) -> list[int]:
    """Queue all calls of these agents, each with a budget of its own; returns the tasks' ids."""
    tasks: list[int] = []
    with client.database.connect() as conn:
        worst = worst_case(conn, agents)
        budget = {USD: worst} if worst else None
        for first in range(0, agents.total, _AT_ONCE):
            with conn.transaction():
                tasks += [
                    client.generate(
                        model=agents.model,
                        prompt=_prompt(agents, number),
                        max_tokens=agents.max_tokens,
                        budget=budget,
                        connection=conn,
                    )
                    for number in range(first, min(first + _AT_ONCE, agents.total))
                ]
    return tasks


def _prompt(agents: Agents, number: int) -> str:
    """Each call's prompt differs at its beginning, so that no cache helps."""
    return f"{number:08} {agents.prompt}"


def undone(conn: psycopg.Connection[Any], tasks: Sequence[int]) -> int:
    """How many of these tasks have not ended."""
    row = conn.execute(_UNDONE, [tasks]).fetchone()
    assert row is not None
    return int(row[0])


def read_records(conn: psycopg.Connection[Any], tasks: Sequence[int]) -> dict[str, Recorded]:
    """What lmx has recorded of these tasks, by pool."""
    pools: dict[str, Recorded] = defaultdict(Recorded)
    for pool, state, charged_at, started_at, finished_at, usage, limits, refused in conn.execute(
        _RECORDS, [tasks]
    ):
        recorded = pools[pool]
        recorded.planned += 1
        recorded.limits = limits or ()
        recorded.refused += refused
        if started_at is not None:
            recorded.started.append(started_at)
        if state == "succeeded":
            _count(recorded, charged_at or finished_at, usage or {})
    return dict(pools)


def _count(recorded: Recorded, at: float, usage: Mapping[str, int]) -> None:
    used = {
        "requests": 1,
        "input_tokens": usage.get("prompt_tokens", 0) - usage.get("cached_tokens", 0),
        "output_tokens": usage.get("completion_tokens", 0),
        "usd": usage.get("cost", 0),
    }
    for of, amount in used.items():
        recorded.seconds[of][int(at)] += amount
