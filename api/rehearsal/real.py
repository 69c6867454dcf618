"""The same scenario against the real services: the user's accounts, workers, limits and money."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

import psycopg

from lmx.api.rehearsal.report import PoolReport, Watched, report
from lmx.api.rehearsal.scenario import Agents, Scenario
from lmx.api.rehearsal.stage import Say
from lmx.api.rehearsal.work import Recorded, queue_calls, read_records, undone, worst_case
from lmx.workflows.client import Client
from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import BudgetExceeded, ConfigError
from lmx.workflows.money import format_usd

_LOOK_S: Final = 2.0
_SERVED: Final = """
SELECT EXISTS (SELECT FROM lmx.pools p JOIN lmx.workers w ON p.queue = ANY(w.queues)
               JOIN lmx.cloud_models m ON (m.provider, m.model_group) = (p.provider, p.model_group)
               WHERE m.name = %s AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp())
"""


def price(conn: psycopg.Connection[object], scenario: Scenario) -> int:
    """The most that the scenario can cost, in nano-dollars.

    Raises ConfigError if no running worker serves one of its models.
    """
    for agents in scenario.cloud:
        row = conn.execute(_SERVED, [agents.model]).fetchone()
        if not row or row != (True,):
            raise ConfigError(
                f"no worker serves {agents.model}",
                hint="set its provider's key and run `lmx up`; see `lmx limits`",
            )
    return sum(worst_case(conn, agents) * agents.total for agents in scenario.cloud)


def refuse_unaffordable(worst: int, budget: int) -> None:
    """Raise BudgetExceeded unless the worst case fits into the budget (both nano-dollars)."""
    if worst > budget:
        raise BudgetExceeded(
            f"the rehearsal can cost up to {format_usd(worst)}, more than its budget of"
            f" {format_usd(budget)}",
            hint="raise --budget, or give a smaller --profile",
        )


def run(database: Database, scenario: Scenario, say: Say) -> list[PoolReport]:
    """Make the scenario's calls; what has not ended after its minutes is cancelled.

    Every call holds its own worst case, so that together they cost no more than `price` said.
    """
    client = Client(database)
    tasks: list[int] = []
    with (
        contextlib.closing(client),
        database.connect() as conn,
        _ending(database, conn, tasks, say),
    ):
        began = _now(conn)
        for agents in scenario.cloud:
            tasks += queue_calls(client, agents)
            say(f"{agents.count} agents queued {agents.total} calls of {agents.model}")
        end = began + scenario.minutes * 60
        while (now := _now(conn)) < end and (left := undone(conn, tasks)):
            say(f"minute {(now - began) / 60:.1f}: {left} calls to go")
            time.sleep(min(_LOOK_S, max(0.05, end - now)))
        return [
            _report(pool, own, began, min(now, end))
            for pool, own in read_records(conn, tasks).items()
        ]


def left_out(scenario: Scenario) -> Sequence[Agents]:
    """The agents of local models, which need no rehearsal: they spend nothing."""
    return [agents for agents in scenario.agents if agents.local]


@contextlib.contextmanager
def _ending(
    database: Database, conn: psycopg.Connection[object], tasks: list[int], say: Say
) -> Iterator[None]:
    """Whatever ends the rehearsal, nothing is spent after it."""
    try:
        yield
    finally:
        if undone(conn, tasks):
            cancelled = sum(
                cancel(database, task, reason="the rehearsal is over") for task in tasks
            )
            say(f"{cancelled} calls were cancelled: the rehearsal is over")


def _report(pool: str, own: Recorded, began: float, ended: float) -> PoolReport:
    waiting = [ended] * (own.planned - len(own.started))
    waits = [max(0.0, at - began) for at in (*own.started, *waiting)]
    watched = Watched(
        pool=pool,
        planned=own.planned,
        begin=began,
        end=ended,
        seconds=own.seconds,
        limits=own.limits,
        refused=own.refused,
        waits=waits,
    )
    return report(watched)


def _now(conn: psycopg.Connection[object]) -> float:
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert isinstance(row, tuple)
    return float(row[0])
