"""The hot statements find their rows through the intended indexes, however much is stored.

With a hundred thousand tasks present, each is explained as the workers' connections run it: with
a generic plan. `enable_seqscan` is off there, so a scan shows only where no index serves.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement
from tests.support.hands import QUEUE, Hands, spawning
from tests.support.plans import indexes_used, nodes, rows_read, tables_scanned

# Eight of ten tasks have finished, one is ready, one is delayed; every other has a deadline.
_FILL = """
    INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, rank, run_at, finished_at,
                           deadline, input)
    SELECT nextval('lmx.task_ids'), n, 'worker', %(queue)s, 'call',
           (CASE WHEN mod(n, 10) < 8 THEN 'succeeded' WHEN mod(n, 10) = 8 THEN 'ready'
                 ELSE 'scheduled' END)::lmx.task_state, n,
           CASE WHEN mod(n, 10) = 9 THEN now() + interval '1 day' END,
           CASE WHEN mod(n, 10) < 8 THEN now() END,
           CASE WHEN mod(n, 2) = 0 THEN now() + interval '1 day' END, '{}'
    FROM generate_series(1, 100000) n
"""

#: Small tables, or ones of which a statement is meant to read everything.
_MAY_SCAN = {"queues", "runs", "lanes", "lane"}
BY_ID = "tasks_pkey"


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    worker = Hands(database)
    worker.conn.execute(_FILL, {"queue": QUEUE})
    worker.conn.execute("ANALYZE lmx.tasks")
    yield worker
    worker.close()


def _plan(hands: Hands, name: str, args: dict[str, Any]) -> dict[str, Any]:
    """The plan of a statement, executed and rolled back."""
    query = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement(name)
    with hands.conn.transaction(force_rollback=True):
        plan: dict[str, Any] = hands.value(query, args)[0]["Plan"]
    return plan


def _finds_tasks_by(plan: dict[str, Any], *indexes: str) -> None:
    assert tables_scanned(plan) <= _MAY_SCAN
    used = {
        index
        for node in nodes(plan)
        for index in indexes_used(node, "tasks")
        if index.startswith("tasks")
    }
    assert used <= set(indexes), f"the plan uses {used}"


def test_a_claim_reads_the_foremost_ready_tasks_only(hands: Hands) -> None:
    plan = hands.explain_claim(slots=16)

    _finds_tasks_by(plan, "tasks_ready", BY_ID)
    assert rows_read(plan, "tasks_ready") == 16


def test_a_finish_finds_its_task_and_its_parent_by_id(hands: Hands) -> None:
    hands.run_to_parked("child", "other")
    hands.conn.execute("UPDATE lmx.tasks SET rank = -1e9 WHERE key = 'child'")
    lease = hands.take()
    ops = [{"op": 0, "id": lease.task_id, "seq": lease.seq, "state": "succeeded", "output": 1}]

    plan = _plan(hands, "finish", {"ops": encode(ops)})

    _finds_tasks_by(plan, BY_ID)


def test_an_enqueue_reads_no_tasks(hands: Hands) -> None:
    args = dict.fromkeys(("delay", "max_attempts", "time_limit_ms", "timeout", "hash", "message"))
    args |= {"name": "call", "queue": QUEUE, "priority": 0, "max_attempts": 4}
    args |= {"key": "once", "input": "{}"}

    plan = _plan(hands, "enqueue", args)

    _finds_tasks_by(plan)


def test_a_promotion_reads_what_is_due(hands: Hands) -> None:
    hands.conn.execute(
        "UPDATE lmx.tasks SET run_at = now() WHERE id IN"
        " (SELECT id FROM lmx.tasks WHERE state = 'scheduled' LIMIT 5)"
    )

    plan = _plan(hands, "promote", {})

    _finds_tasks_by(plan, "tasks_timed", BY_ID)
    assert rows_read(plan, "tasks_timed") <= 6


def test_a_spawn_looks_up_its_parent_and_its_keys(hands: Hands) -> None:
    hands.submit()
    operation = spawning(hands.mind(), "child")
    row = {"op": 0, "id": operation.task_id, "seq": operation.seq, **operation.fields}

    plan = _plan(hands, "spawn", {"ops": encode([row])})

    _finds_tasks_by(plan, BY_ID, "tasks_children")


def test_a_park_counts_the_children_of_its_own(hands: Hands) -> None:
    hands.submit()
    lease = hands.mind()
    hands.spawn(lease, "child")
    row = {"op": 0, "id": lease.task_id, "seq": lease.seq, "children": True}

    plan = _plan(hands, "park", {"ops": encode([row])})

    _finds_tasks_by(plan, BY_ID, "tasks_children")
    assert rows_read(plan, "tasks_children") == 1


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("checkpoint", {"name": "step", "output": 1}),
        ("memory", {"key": "k", "value": 1, "gone": False}),
        ("retry", {"delay": 1.0, "error": {}}),
        ("requeue", {"lost": True}),
        ("partial", {"partial": {"text": "half"}, "attempts": 0}),
    ],
)
def test_other_operations_find_their_task_by_id(
    hands: Hands, name: str, fields: dict[str, Any]
) -> None:
    hands.submit()
    lease = hands.mind()

    plan = _plan(hands, name, {"ops": encode([{"op": 0, "id": lease.task_id, "seq": 1} | fields])})

    _finds_tasks_by(plan, BY_ID)


def test_a_budget_is_settled_and_closed_by_its_task(hands: Hands) -> None:
    run = hands.submit(budgets={"usd": 100}, reserve={"usd": 10})
    lease = hands.mind()
    settling = [{"id": run, "seq": lease.seq, "unit": "usd", "amount": 5}]

    _finds_tasks_by(_plan(hands, "settle", {"ops": encode(settling)}), BY_ID)
    _finds_tasks_by(_plan(hands, "close_budgets", {"ids": [run]}), BY_ID)


def test_a_cancel_walks_its_own_tree(hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b")

    plan = _plan(hands, "subtree", {"ids": [run]})

    _finds_tasks_by(plan, BY_ID, "tasks_children")
    assert rows_read(plan, "tasks_children") == len(children)


def test_expired_deadlines_are_found_by_time(hands: Hands) -> None:
    plan = _plan(hands, "overdue", {})

    _finds_tasks_by(plan, "tasks_deadline")
    assert rows_read(plan, "tasks_deadline") == 0


def test_attempts_past_their_limit_are_sought_among_the_leased(hands: Hands) -> None:
    hands.claim(slots=7)

    plan = _plan(hands, "overlong", {"grace": 5.0})

    _finds_tasks_by(plan, "tasks_leased")
    assert rows_read(plan, "tasks_leased") == 7
