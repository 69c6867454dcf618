"""Forking a run from one of its steps."""

import pytest

from lmx.workflows.control import fork, signal
from lmx.workflows.coordinators.history import load
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound, Refused
from lmx.workflows.operations import Operation
from lmx.workflows.views import get_run, get_task, get_tree, run_events
from tests.support.hands import Hands


def _run_with_history(database: Database, hands: Hands) -> int:
    """plan; spawn early (succeeds) and slow (runs); draft; spawn late; polish."""
    run = hands.submit(budgets={"usd": 100}, weight=3.0, input={"args": ["paper"], "kwargs": {}})
    root = hands.mind()
    hands.checkpoint(root, "plan", "the plan")
    memory = {"key": "topic", "value": "bees", "gone": False}
    hands.apply(Operation("memory", run, root.seq, memory))
    signal(database, run, "approved", "yes")
    hands.spawn(root, "early", "slow", budget={"usd": 30}, reserve={"usd": 20})
    hands.finish(hands.take(), "early result", costs={"usd": 15})
    hands.checkpoint(root, "draft", "the draft")
    hands.spawn(root, "late")
    hands.checkpoint(root, "polish")
    return run


def test_a_fork_knows_what_was_done_before_the_step_and_nothing_after(
    database: Database, hands: Hands
) -> None:
    run = _run_with_history(database, hands)

    new = fork(database, run, "draft")

    history = load(hands.conn, [new])[new]
    assert history.steps == {"plan": "the plan"}
    assert {key: child.output for key, child in history.children.items()} == {
        "early": "early result"
    }
    assert history.signals == {"approved#1": "yes"}
    assert hands.value("SELECT value FROM lmx.memory WHERE run_id = %s", new) == "bees"


def test_a_fork_starts_with_the_others_input_share_and_full_budget(
    database: Database, hands: Hands
) -> None:
    run = _run_with_history(database, hands)

    new = fork(database, run, "polish")

    seen = get_run(database, new)
    assert (seen.state, seen.forked_from, seen.weight) == ("ready", run, 3.0)
    assert [(b.ceiling, b.left) for b in seen.budgets] == [(100, 100)]
    lease = hands.mind()
    assert (lease.task_id, lease.input) == (new, {"args": ["paper"], "kwargs": {}})
    assert [event.data for event in run_events(database, new) if event.kind == "forked"] == [
        {"run": run, "before": "polish"}
    ]


def test_a_fork_leaves_the_run_that_it_came_from_as_it_was(
    database: Database, hands: Hands
) -> None:
    run = _run_with_history(database, hands)
    before = get_tree(database, run)

    fork(database, run, "draft")

    assert get_tree(database, run) == before


def test_a_fork_can_be_forked(database: Database, hands: Hands) -> None:
    run = _run_with_history(database, hands)

    second = fork(database, fork(database, run, "polish"), "draft")

    assert list(load(hands.conn, [second])[second].steps) == ["plan"]
    assert [task.key for task in get_tree(database, second)] == [None, "early"]


def test_a_finished_child_of_a_fork_is_not_paid_for_again(database: Database, hands: Hands) -> None:
    new = fork(database, _run_with_history(database, hands), "draft")

    (child,) = get_tree(database, new)[1:]

    assert (child.state, child.output, child.budgets) == ("succeeded", "early result", ())
    assert get_task(database, new).budgets[0].spent == 0


def test_an_unknown_step_is_answered_with_the_known_ones(database: Database, hands: Hands) -> None:
    run = _run_with_history(database, hands)
    with pytest.raises(NotFound, match="no step 'edit'; it has plan, draft, polish"):
        fork(database, run, "edit")


def test_only_runs_with_steps_can_be_forked(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked("child")
    lone = hands.submit(role="worker")
    with pytest.raises(NotFound):
        fork(database, 99, "plan")
    with pytest.raises(Refused, match=f"part of run {run}"):
        fork(database, child, "plan")
    with pytest.raises(Refused, match="is a single task"):
        fork(database, lone, "plan")
