"""What a coordinator that kills its workers leaves behind."""

from lmx.workflows.database.connect import Database
from lmx.workflows.sweep import sweep
from lmx.workflows.views import get_task
from tests.support.hands import Hands


def test_what_a_poisonous_coordinator_left_running_is_cancelled(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(nesting=1, budgets={"usd": 100})
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator", budget={"usd": 60})
    hands.park(root)
    (call,) = hands.spawn(hands.mind(), "call", budget={"usd": 50}, reserve={"usd": 40})
    other = Hands(database, "other")
    other.take()
    hands.conn.execute("UPDATE lmx.workers SET stopped_at = now() WHERE id = %s", [hands.worker])

    sweep(hands.conn, max_deliveries=1)
    other.close()

    assert hands.states(branch, call) == ["failed", "cancelled"]
    assert hands.state(run) == "ready"
    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.granted) == (40, 0)
