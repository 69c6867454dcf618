"""The records of runs that ended long ago go; what was asked, answered and spent stays."""

import pytest

from lmx.workers.pruning import Pruner
from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.config import Settings
from lmx.workflows.errors import InvalidInput
from lmx.workflows.retention.kept import all_pruned
from lmx.workflows.retention.pruning import prune
from lmx.workflows.views import check_budgets, get_task
from tests.support.eventually import eventually
from tests.support.history import DAY_S, History


def test_records_go_with_their_age_and_results_stay(history: History) -> None:
    old, young = history.run(days=90), history.run(days=20)
    before = history.left(*old)
    counted = prune(history.database, 30 * DAY_S, dry_run=True)
    assert (counted.counts["decisions"], counted.counts["events"]) == (3, before["events"])
    assert history.left(*old) == before
    assert all_pruned(history.conn) == {}

    assert prune(history.database, 30 * DAY_S).counts == counted.counts
    assert history.left(*old) == {
        table: count for table, count in before.items() if table not in ("decisions", "events")
    }
    assert history.left(*young)["decisions"] == 3
    assert get_task(history.database, old[1]).output == "an answer"
    assert check_budgets(history.database) == []
    assert not any(prune(history.database, 30 * DAY_S).counts.values())


def test_the_records_of_a_run_that_goes_on_stay_however_old_they_are(history: History) -> None:
    tasks = history.run(days=90)
    history.conn.execute(
        "UPDATE lmx.tasks SET state = 'ready', finished_at = NULL WHERE id = %s", [tasks[0]]
    )
    assert not any(prune(history.database, 30 * DAY_S).counts.values())


def test_a_batch_goes_when_the_runs_of_all_its_calls_ended_long_ago(history: History) -> None:
    (old, *_), (young, *_) = history.run(days=90), history.run(days=20)
    history.conn.execute(
        "INSERT INTO lmx.pools (name, queue, provider, account, model_group)"
        " VALUES ('p', 'q', 'p', 'a', 'g')"
    )
    members = {"gone": [old, 10**9], "young": [old, young], "open": [old]}
    for token, tasks in members.items():
        history.conn.execute(
            "INSERT INTO lmx.batches (pool_id, model, token, state, calls, tokens, created_at,"
            " ended_at) SELECT id, 'm', %s, 'ended', 1, 1, now() - interval '91 days',"
            " now() - interval '90 days' FROM lmx.pools",
            [token],
        )
        history.conn.execute(
            "INSERT INTO lmx.batch_calls (batch_id, task_id, lease_seq, outcome)"
            " SELECT b.id, unnest(%s::bigint[]), b.id, %s FROM lmx.batches b WHERE token = %s",
            [tasks, None if token == "open" else "succeeded", token],
        )
    assert prune(history.database, 30 * DAY_S).counts["batches"] == 1
    left = history.conn.execute("SELECT token FROM lmx.batches ORDER BY id").fetchall()
    assert left == [("young",), ("open",)]
    assert history.hands.value("SELECT count(*) FROM lmx.batch_calls") == 3


def test_workers_that_stopped_long_ago_are_forgotten(history: History) -> None:
    history.conn.execute(
        "INSERT INTO lmx.workers (name, queues, host, boot_id, pid, pid_started, started_at,"
        " expires_at, stopped_at) SELECT 'w', '{}', 'h', 'b', 1, 0, now() - interval '91 days',"
        " now(), at FROM unnest(ARRAY[now() - interval '90 days', now(), NULL]) at"
    )
    assert prune(history.database, 30 * DAY_S).counts["workers"] == 1
    assert history.hands.value("SELECT count(*) FROM lmx.workers WHERE name = 'w'") == 2


def test_what_was_settled_after_the_end_of_its_day_is_folded(history: History) -> None:
    """As the calls of a batch are: nobody claims from yesterday any more."""
    set_allowance(history.conn, allowance("5"))
    history.conn.execute(
        "WITH p AS (INSERT INTO lmx.allowance_periods (allowance_id, starts_at, ends_at, ceiling,"
        " held) SELECT id, now() - interval '41 days', now() - interval '40 days', 90, 30"
        " FROM lmx.allowances RETURNING id), h AS (INSERT INTO lmx.allowance_holds"
        " (task_id, lease_seq, period_id, unit, amount, cost) SELECT n, 1, id, 'usd', 15, 6"
        " FROM p, generate_series(1, 2) n) INSERT INTO lmx.allowance_charges"
        " (period_id, task_id, lease_seq, amount, reason) SELECT id, n, 1, 6, 'settled'"
        " FROM p, generate_series(1, 2) n"
    )
    assert check_allowances(history.database) == []
    prune(history.database, 30 * DAY_S)
    period = history.conn.execute("SELECT spent, held FROM lmx.allowance_periods").fetchone()
    assert period == (12, 0)
    assert history.hands.value("SELECT count(*) FROM lmx.allowance_holds") == 0
    assert check_allowances(history.database) == []


def test_what_ended_today_is_never_pruned(history: History) -> None:
    with pytest.raises(InvalidInput, match="less than a day ago is never pruned"):
        prune(history.database, DAY_S - 1)


def test_a_worker_prunes_once_an_hour_if_a_setting_says_what(history: History) -> None:
    settings = Settings(keep_records=30 * DAY_S)
    query = "SELECT count(*) FROM lmx.decisions"
    for setting, pruned in ((Settings(), 3), (settings, 0), (settings, 3)):
        tasks = history.run(days=90)
        pruner = Pruner(setting, history.database)
        pruner.start()
        if not pruned:
            eventually(lambda: history.hands.value(query) == 0, "the end of all decisions")
        pruner.stop()
        assert history.left(*tasks).get("decisions", 0) == pruned
        assert history.left(*tasks)["tasks"] == 3
