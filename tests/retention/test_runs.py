"""Whole runs are pruned or not at all, and the ledger goes on adding up."""

import signal

import pytest

from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.budgets import run_budgets
from lmx.workflows.retention.kept import all_pruned
from lmx.workflows.retention.pruning import prune
from lmx.workflows.views import check_budgets
from tests.support.hands import Hands
from tests.support.history import DAY_S, History
from tests.support.processes import start_python


def prune_runs(history: History, **how: bool) -> tuple[int, int]:
    """Prune runs that ended 30 days ago; how many runs and tasks went."""
    counts = prune(history.database, 30 * DAY_S, runs=True, **how).counts
    return counts["runs"], counts["tasks"]


def test_all_of_a_run_goes_but_what_it_has_spent(history: History) -> None:
    old, young = history.run(days=90), history.run(days=20)
    assert prune_runs(history, dry_run=True) == (1, 3)
    assert len(history.left(*old)) == 9
    assert prune_runs(history) == (1, 3)
    assert history.left(*old) == {}
    assert len(history.left(*young)) == 9
    (node,) = run_budgets(history.database, old[0])
    (money,) = node.budgets
    assert (node.state, money.spent, money.ceiling) == ("pruned", 40, 500)
    assert (
        history.hands.value("SELECT sum(amount) FROM lmx.charges WHERE run_id = %s", old[0]) == 40
    )
    assert check_budgets(history.database) == check_budgets(history.database, old[0]) == []
    assert sorted(all_pruned(history.conn)) == ["records", "runs"]


def test_a_line_of_the_ledger_that_is_off_is_found_after_the_run_is_gone(history: History) -> None:
    run, *_ = history.run(days=90)
    prune_runs(history)
    history.conn.execute(
        "INSERT INTO lmx.charges (run_id, task_id, lease_seq, unit, amount, reason)"
        " VALUES (%s, %s, 1, 'usd', 7, 'settled')",
        [run, run],
    )
    for found in (check_budgets(history.database), check_budgets(history.database, run)):
        assert [(one.task_id, one.expected, one.actual) for one in found] == [(run, 47, 40)]


def test_a_run_with_anything_unfinished_stays_whole(history: History) -> None:
    going, money, held = (history.run(days=90) for _ in range(3))
    history.conn.execute(
        "UPDATE lmx.tasks SET state = 'ready', finished_at = NULL WHERE id = %s", [going[2]]
    )
    history.conn.execute("UPDATE lmx.budgets SET closed = false WHERE task_id = %s", [money[1]])
    history.conn.execute(
        "INSERT INTO lmx.pools (name, queue, provider, account, model_group)"
        " VALUES ('p', 'q', 'p', 'a', 'g');"
    )
    history.conn.execute(
        "WITH b AS (INSERT INTO lmx.batches (pool_id, model, token, state, calls, tokens, next_at)"
        " SELECT id, 'm', 't', 'processing', 1, 1, now() FROM lmx.pools RETURNING id)"
        " INSERT INTO lmx.batch_calls (batch_id, task_id, lease_seq) SELECT id, %s, 1 FROM b",
        [held[1]],
    )
    assert prune_runs(history) == (0, 0)
    assert all(history.left(*tasks)["tasks"] == 3 for tasks in (going, money, held))


def test_what_an_allowance_counts_in_its_present_month_stays(history: History) -> None:
    tasks = history.run(days=40)
    set_allowance(history.conn, allowance("5", per="month"))
    history.conn.execute(
        "INSERT INTO lmx.allowance_periods (allowance_id, starts_at, ends_at, ceiling)"
        " SELECT id, now() - interval '50 days', now() + interval '1 day', 1 FROM lmx.allowances"
    )
    assert prune_runs(history) == (0, 0)
    history.conn.execute("UPDATE lmx.allowance_periods SET ends_at = now()")
    assert prune_runs(history) == (1, 3)
    assert history.left(*tasks) == {}


def test_a_run_that_somebody_takes_up_again_is_left_alone(history: History) -> None:
    tasks = history.run(days=90)
    other = Hands(history.database)
    with other.conn.transaction():
        other.conn.execute("SELECT FROM lmx.tasks WHERE id = %s FOR UPDATE", [tasks[0]])
        assert prune_runs(history) == (0, 0)
    other.close()
    assert prune_runs(history) == (1, 3)


DIES = """
import sys
from dataclasses import replace
from lmx.workflows.database.connect import Database
from lmx.workflows.retention import pruning
pruning.RUNS = replace(pruning.RUNS, piece=3)
pruning.prune(Database(sys.argv[1]), 30 * 86400, runs=True)
"""


def test_killed_anywhere_it_leaves_whole_runs_and_goes_on_later(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [history.run(days=90) for _ in range(4)]
    # Four pieces are of records; then come those of runs, of one run each.
    for point, gone in (("prune.before:6", 1), ("prune.after:6", 3)):
        monkeypatch.setenv("LMX_FAULT", point)
        process = start_python(DIES, history.database.conninfo)
        assert process.wait(timeout=30) == -signal.SIGKILL
        process.communicate()
        left = [history.left(*tasks).get("tasks", 0) for tasks in runs]
        assert left == [0] * gone + [3] * (4 - gone)
        assert check_budgets(history.database) == []
    assert prune_runs(history) == (1, 3)
    assert check_budgets(history.database) == []
