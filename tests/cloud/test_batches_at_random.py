"""Batches under any order of events: sums stay exact, and every call ends, paid at most once."""

import contextlib
import random
from collections.abc import Callable

import pytest

from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import Allowance, set_allowance
from lmx.workflows.budgets import check_budgets
from lmx.workflows.control import cancel, retry
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from tests.support.batches import Batching
from tests.support.rehearsed import Rehearsed

USD = 10**9
STEPS = 60
FAULTS = ("lost", "malformed", "overloaded", "server_error", "rate_limited")
ENTRIES = ("batch_errored", "batch_expired", "batch_invalid")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
def test_every_call_ends_and_every_sum_is_exact(
    database: Database, rehearsed: Rehearsed, provider: str, seed: int
) -> None:
    chance = random.Random(seed)
    lanes = [Batching(database, provider, rehearsed.url, max_calls=3) for _ in range(2)]
    tasks: list[int] = []

    def ask() -> None:
        tasks.append(lanes[0].ask(budget={"usd": USD}) if chance.random() < 0.7 else lanes[0].ask())

    def some(change: Callable[[Database, int], int]) -> None:
        if tasks:
            with contextlib.suppress(LmxError):  # it has ended, or has not
                change(database, chance.choice(tasks))

    def fail() -> None:
        kinds = (*FAULTS, *ENTRIES)
        rehearsed.fail({"kind": chance.choice(kinds), "count": 1})

    events: list[Callable[[], object]] = [
        ask,
        ask,
        ask,
        lambda: chance.choice(lanes).round(),
        lambda: chance.choice(lanes).round(),
        lambda: chance.choice(lanes).round(),
        lambda: some(cancel),
        lambda: some(retry),
        fail,
        lambda: rehearsed.pace_batches(seconds=chance.choice([0, 3600])),
        lambda: lanes[0].wake(),
    ]
    try:
        with database.connect() as conn:
            set_allowance(conn, Allowance("*", "usd", "day", "UTC", 100 * USD))
        for _ in range(STEPS):
            chance.choice(events)()
        assert check_budgets(database) == []
        assert check_allowances(database) == []
        rehearsed.fail()
        rehearsed.pace_batches(seconds=0)
        for _ in range(4):
            lanes[0].wake()
            lanes[1].round(3)
        states = "SELECT DISTINCT state::text FROM lmx.tasks"
        found = {row[0] for row in lanes[0].hands.conn.execute(states)}
        assert found <= {"succeeded", "failed", "cancelled"}
        assert {batch.state for batch in lanes[0].batches()} <= {"ended", "refused"}
        assert lanes[0].row("SELECT count(*) FROM lmx.holds") == (0,)
        twice = "SELECT count(*) FROM (SELECT FROM lmx.charges GROUP BY task_id, lease_seq, unit"
        assert lanes[0].row(f"{twice} HAVING count(*) > 1) t") == (0,)
        assert check_budgets(database) == []
        assert check_allowances(database) == []
    finally:
        rehearsed.pace_batches(seconds=0)
        for lane in lanes:
            lane.close()
