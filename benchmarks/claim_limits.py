"""The claim of cloud calls with limits and holds: `python -m benchmarks.claim_limits`.

An acquisition is one call that a worker gets: every limit of its pool admits it and is charged, its
worst case is held from its budget, it is leased, and that has committed. What it needs afterwards
is done too, in the same transactions, and is not counted again: the call's result, its settlement,
the news of what it really used, which the next claim of its pool folds in.

Worker processes race for the pools of one queue, as the workers of a provider do: each sends the
ends of its calls and its next claim in one transaction. `in batches` a worker claims up to 64 calls
at a time, as it really does; `one by one` every claim gets a single call.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.claim_worker import QUEUE
from benchmarks.relay import Relay
from benchmarks.server import Server
from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.database.connect import Database
from lmx.workflows.database.migrate import upgrade
from lmx.workflows.pools import PoolSpec, put_pool

_POOLS = 16
#: Limits that are charged and never reached, of both kinds.
_LIMITS = {
    "buckets": [
        {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 10_000_000},
        {"name": "input tokens/min", "of": "input_tokens", "kind": "bucket", "limit": 10**10},
        {"name": "output tokens/min", "of": "output_tokens", "kind": "bucket", "limit": 10**10},
    ],
    "windows": [
        {"name": "requests/min", "of": "requests", "kind": "window", "limit": 10_000_000},
        {"name": "input tokens/min", "of": "input_tokens", "kind": "window", "limit": 10**10},
        {"name": "requests/day", "of": "requests", "kind": "day", "limit": 10**9},
    ],
}
_COSTS = {"requests": 1, "input_tokens": 700, "output_tokens": 400, "usd": 1_210_000}

_TASKS = """
WITH made AS (
    INSERT INTO lmx.tasks (root_id, role, queue, name, state, rank, input, budgeted, pool_id)
    SELECT n, 'worker', 'bench', 'generate', 'ready', n, '{"model": "m"}', true,
           (%(pools)s::integer[])[1 + n %% %(count)s]
    FROM generate_series(1, %(calls)s) n RETURNING id, pool_id
), purses AS (
    INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve)
    SELECT id, 'usd', %(usd)s, %(usd)s FROM made
)
INSERT INTO lmx.calls (task_id, pool_id, model, costs)
SELECT id, pool_id, 'm', %(costs)s FROM made
"""


@dataclass(frozen=True)
class Trial:
    """What is measured: so many pools, worker processes, and calls at once in each; `allowance`:
    all calls are paid out of one day's allowance, too."""

    name: str
    pools: int
    limits: str
    workers: int
    slots: int
    goal: int | None = None
    allowance: bool = False


@dataclass(frozen=True)
class Rate:
    """Acquisitions per second of all workers; writing transactions and round trips for each."""

    trial: Trial
    acquired: int
    seconds: float
    writes: float
    round_trips: float

    @property
    def per_second(self) -> float:
        return self.acquired / self.seconds


TRIALS = (
    Trial("16 pools, in batches", _POOLS, "buckets", 2, 64, goal=1000),
    Trial("16 pools of windows, in batches", _POOLS, "windows", 2, 64, goal=1000),
    Trial("one hot pool, in batches", 1, "buckets", 2, 64, goal=500),
    Trial("one hot pool of windows, in batches", 1, "windows", 2, 64, goal=500),
    Trial("16 pools under an allowance, in batches", _POOLS, "buckets", 2, 64, allowance=True),
    Trial("16 pools, one by one", _POOLS, "buckets", 4, 1),
    Trial("16 pools under an allowance, one by one", _POOLS, "buckets", 4, 1, allowance=True),
    Trial("one hot pool, one by one", 1, "buckets", 4, 1),
)


@dataclass(frozen=True)
class _Race:
    """What the workers of one race have done, and what the server has counted."""

    acquired: int
    seconds: float
    writes: int
    round_trips: int = 0


def measure(server: Server, trial: Trial, seconds: float, backlog: int) -> Rate:
    """Let the workers of a trial race for so many seconds, or until nothing is left.

    Counts come from a race of their own, less what a worker does that claims nothing.
    """
    timed = _race(server, trial, seconds, backlog)
    counted, idle = (_counted(server, trial, long, backlog) for long in (1.0, 0.0))
    acquired = max(1, counted.acquired)
    return Rate(
        trial,
        timed.acquired,
        timed.seconds,
        (counted.writes - idle.writes) / acquired,
        (counted.round_trips - idle.round_trips) / acquired,
    )


def _counted(server: Server, trial: Trial, seconds: float, backlog: int) -> _Race:
    with Relay(server.socket_directory) as relay:
        race = _race(server, trial, seconds, backlog, relay)
    return replace(race, round_trips=relay.round_trips)


def _race(
    server: Server, trial: Trial, seconds: float, backlog: int, relay: Relay | None = None
) -> _Race:
    name = "claim_limits"
    database = Database(server.create(name))
    upgrade(database)
    with database.connect() as conn:
        _fill(conn, trial, backlog)
    dsn = database.conninfo
    if relay is not None:
        dsn = dsn.replace(str(server.socket_directory), str(relay.directory))
    with server.quiet():
        before = server.counters(name)
        told = _run_workers(dsn, trial, seconds)
        server.wait_until_left(name)
        writes = (server.counters(name) - before).writes
    acquired = sum(one["acquired"] for one in told)
    with database.connect() as conn:
        _check(conn, acquired)
    server.drop(name)
    return _Race(acquired, max(one["seconds"] for one in told), writes)


def _fill(conn: psycopg.Connection[Any], trial: Trial, backlog: int) -> None:
    limits = _LIMITS[trial.limits]
    specs = [PoolSpec(QUEUE, "bench", "default", f"g{n}", limits) for n in range(trial.pools)]
    pools = [put_pool(conn, spec) for spec in specs]
    if trial.allowance:
        set_allowance(conn, allowance("1_000_000_000", unit="calls"))
        set_allowance(conn, allowance("9000000000"))
    given = {"pools": pools, "count": len(pools), "calls": backlog}
    conn.execute(_TASKS, {**given, "usd": _COSTS["usd"], "costs": json.dumps(_COSTS)})
    conn.execute("UPDATE lmx.tasks SET root_id = id")
    conn.execute("VACUUM ANALYZE")
    conn.execute("CHECKPOINT")


def _check(conn: psycopg.Connection[Any], acquired: int) -> None:
    """Every call that was acquired has ended, was paid once, and holds nothing any more."""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM lmx.tasks WHERE state = 'succeeded'),"
        " (SELECT count(*) FROM lmx.charges), (SELECT count(*) FROM lmx.holds)"
    ).fetchone()
    if row != (acquired, acquired, 0):
        raise RuntimeError(f"of {acquired} acquired calls, {row} ended, were paid, hold something")


def _run_workers(dsn: str, trial: Trial, seconds: float) -> list[dict[str, Any]]:
    """Start the workers together; each tells what it has done."""
    arguments = [dsn, str(trial.slots), str(seconds)]
    command = [sys.executable, "-m", "benchmarks.claim_worker", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen(command, text=True, **pipes) for _ in range(trial.workers)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()  # it is connected
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [json.loads(worker.communicate()[0]) for worker in workers]


def show(rates: Sequence[Rate]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("claim", "workers", "acquisitions/s", "goal", "", "write txs", "round trips"):
        table.add_column(heading, justify="left" if heading in ("claim", "") else "right")
    for rate in rates:
        goal = rate.trial.goal
        verdict = "" if goal is None else "pass" if rate.per_second >= goal else "MISSED"
        figures = (f"{rate.per_second:,.0f}", "" if goal is None else f">= {goal:,}", verdict)
        counts = (f"{rate.writes:.3f}", f"{rate.round_trips:.3f}")
        table.add_row(rate.trial.name, str(rate.trial.workers), *figures, *counts)
    Console(width=110).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claim_limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    parser.add_argument("--backlog", type=int, default=60_000, help="calls that wait")
    parser.add_argument("--only", default="", help="trials whose name contains this")
    asked = parser.parse_args()
    with Server() as server:
        trials = [trial for trial in TRIALS if asked.only in trial.name]
        rates = [measure(server, trial, asked.seconds, asked.backlog) for trial in trials]
    show(rates)
    return int(any(rate.trial.goal and rate.per_second < rate.trial.goal for rate in rates))


if __name__ == "__main__":
    sys.exit(main())
