"""Reading tasks and trees."""

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound
from lmx.workflows.views import get_input, get_task, get_tree
from tests.support.hands import Hands


def test_a_task_tells_its_place_its_state_and_its_money(database: Database, hands: Hands) -> None:
    run = hands.submit(budgets={"usd": 1000})
    lease = hands.mind()
    (child,) = hands.spawn(lease, "one", budget={"usd": 300}, reserve={"usd": 200}, input={"n": 1})
    hands.take()

    seen = get_task(database, child)

    assert (seen.run_id, seen.parent_id, seen.key, seen.role) == (run, run, "one", "worker")
    assert (seen.state, seen.worker, seen.deliveries) == ("leased", "hands", 1)
    assert [(b.unit, b.ceiling, b.held, b.left) for b in seen.budgets] == [("usd", 300, 200, 100)]
    assert get_input(database, child) == {"n": 1}


def test_a_finished_task_tells_its_output(database: Database, hands: Hands) -> None:
    run = hands.submit(role="worker")
    hands.finish(hands.take(), {"text": "done"})

    seen = get_task(database, run)

    assert seen.finished
    assert seen.output == {"text": "done"}
    assert seen.worker is None


def test_a_tree_lists_parents_before_children_and_siblings_as_spawned(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(nesting=1)
    root = hands.mind()
    branch, leaf = hands.spawn(root, "branch", role="coordinator")[0], hands.spawn(root, "leaf")[0]
    twigs = hands.spawn(hands.mind(), "a", "b")

    assert [task.id for task in get_tree(database, run)] == [run, branch, *twigs, leaf]
    assert [task.id for task in get_tree(database, branch)] == [branch, *twigs]


def test_a_tree_without_outputs_leaves_them_out(database: Database, hands: Hands) -> None:
    run = hands.submit(role="worker")
    hands.finish(hands.take(), "long text")

    assert get_tree(database, run, outputs=False)[0].output is None


def test_an_unknown_id_is_one_clear_error(database: Database) -> None:
    for read in (get_task, get_tree, get_input):
        with pytest.raises(NotFound, match="there is no task 99"):
            read(database, 99)


def test_a_shelved_task_shows_no_time_to_run(database: Database, hands: Hands) -> None:
    run = hands.submit(role="worker", delay=60)
    hands.conn.execute("UPDATE lmx.tasks SET run_at = 'infinity' WHERE id = %s", [run])

    seen = get_task(database, run)

    assert seen.shelved
    assert seen.run_at is None
