"""Deadlines of tasks and time limits of attempts."""

from lmx.workflows.control import expire_deadlines
from lmx.workflows.database.connect import Database
from lmx.workflows.views import get_task
from tests.support.hands import Hands


def _pass(hands: Hands, *ids: int) -> None:
    """Let the deadlines of these tasks pass."""
    hands.conn.execute(
        "UPDATE lmx.tasks SET deadline = now() - interval '1 s' WHERE id = ANY(%s)", [list(ids)]
    )


def _run_for(hands: Hands, task_id: int, seconds: float) -> None:
    """Let a leased attempt have begun `seconds` ago."""
    hands.conn.execute(
        "UPDATE lmx.tasks SET started_at = now() - make_interval(secs => %s) WHERE id = %s",
        [seconds, task_id],
    )


def test_nothing_happens_before_the_deadline(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker", timeout=60)

    assert expire_deadlines(hands.conn) == 0
    assert hands.state(task) == "ready"


def test_a_task_past_its_deadline_fails_and_its_parent_wakes(
    database: Database, hands: Hands
) -> None:
    run, (child,) = hands.run_to_parked("child", timeout=60)
    lease = hands.take()
    _pass(hands, child)

    assert expire_deadlines(hands.conn) == 1

    seen = get_task(database, child)
    assert seen.error is not None
    assert (seen.state, seen.error["kind"]) == ("failed", "deadline")
    assert hands.state(run) == "ready"
    assert not hands.finish(lease, "too late")


def test_a_run_past_its_deadline_takes_its_tree_along(database: Database, hands: Hands) -> None:
    run = hands.submit(nesting=1, timeout=60, budgets={"usd": 100})
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator", budget={"usd": 50})
    hands.park(root)
    twigs = hands.spawn(hands.mind(), "a", "b", budget={"usd": 20}, reserve={"usd": 10})
    hands.take()
    _pass(hands, run, twigs[1])

    assert expire_deadlines(hands.conn) == 4

    assert hands.states(run, branch, *twigs) == ["failed", "cancelled", "cancelled", "failed"]
    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.closed) == (10, True)


def test_many_deadlines_pass_in_a_few_transactions(database: Database, hands: Hands) -> None:
    tasks = [hands.submit(role="worker", timeout=60) for _ in range(600)]
    _pass(hands, *tasks)

    assert expire_deadlines(hands.conn) == 600


def test_an_attempt_past_its_time_limit_is_tried_again(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked(
        "slow", time_limit_ms=2000, budgets={"usd": 100}, budget={"usd": 50}, reserve={"usd": 20}
    )
    lease = hands.take()
    _run_for(hands, child, 6.0)
    assert expire_deadlines(hands.conn) == 0
    _run_for(hands, child, 8.0)
    hands.conn.execute('LISTEN "lmx:cancel"')

    assert expire_deadlines(hands.conn) == 1

    seen = get_task(database, child)
    assert seen.error is not None
    assert (seen.state, seen.attempts, seen.error["kind"]) == ("scheduled", 1, "time_limit")
    assert seen.budgets[0].spent == 20
    assert not hands.finish(lease, "too late")
    assert [n.payload for n in hands.conn.notifies(timeout=5, stop_after=1)] == [str(child)]
    assert hands.state(run) == "parked"


def test_the_last_attempt_past_its_time_limit_fails_the_task(
    database: Database, hands: Hands
) -> None:
    run, (child,) = hands.run_to_parked("slow", time_limit_ms=2000, max_attempts=1)
    hands.take()
    _run_for(hands, child, 60.0)

    assert expire_deadlines(hands.conn) == 1

    seen = get_task(database, child)
    assert (seen.state, seen.attempts) == ("failed", 1)
    assert hands.state(run) == "ready"
