"""The database itself refuses what may not spawn (R4), whoever asks and however."""

import psycopg
import pytest

from tests.support.hands import Hands

_BY_HAND = (
    "INSERT INTO lmx.tasks (root_id, parent_id, parent_role, key, role, queue, name, state)"
    " SELECT root_id, id, %s::lmx.task_role, 'smuggled', 'worker', queue, name, 'ready'"
    " FROM lmx.tasks WHERE id = %s"
)


def test_a_worker_that_spawns_is_refused(hands: Hands) -> None:
    hands.submit(role="worker")
    lease = hands.take()

    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="tasks_parent"):
        hands.spawn(lease, "child")

    assert hands.value("SELECT count(*) FROM lmx.tasks") == 1


def test_a_worker_cannot_be_made_a_parent_by_hand_written_sql(hands: Hands) -> None:
    worker = hands.submit(role="worker")

    with pytest.raises(psycopg.errors.CheckViolation, match="tasks_only_coordinators_spawn"):
        hands.conn.execute(_BY_HAND, ["worker", worker])
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="tasks_parent"):
        hands.conn.execute(_BY_HAND, ["coordinator", worker])
    with pytest.raises(psycopg.errors.CheckViolation, match="tasks_parent_whole"):
        hands.conn.execute(_BY_HAND, [None, worker])


def test_a_worker_cannot_be_given_room_for_coordinators(hands: Hands) -> None:
    worker = hands.submit(role="worker")

    with pytest.raises(psycopg.errors.CheckViolation, match="tasks_workers_are_leaves"):
        hands.conn.execute("UPDATE lmx.tasks SET nesting = 1 WHERE id = %s", [worker])


def test_a_coordinator_with_children_cannot_turn_into_a_worker(hands: Hands) -> None:
    run, _ = hands.run_to_parked("child")

    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="tasks_parent"):
        hands.conn.execute("UPDATE lmx.tasks SET role = 'worker' WHERE id = %s", [run])


def test_coordinators_nest_no_deeper_than_the_run_was_submitted_with(hands: Hands) -> None:
    hands.submit(nesting=1)
    root = hands.mind()
    hands.spawn(root, "branch", role="coordinator", nesting=9)
    branch = hands.mind()
    assert branch.nesting == 0

    hands.spawn(branch, "leaf")
    with pytest.raises(psycopg.errors.CheckViolation, match="tasks_nesting"):
        hands.spawn(branch, "twig", role="coordinator")
