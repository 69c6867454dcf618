"""What had come of an answer that never was whole: how it is kept, fenced and dropped."""

import json
from typing import Any

import pytest

from lmx.workflows import control
from lmx.workflows.control.deadlines import expire_deadlines
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation, keep
from lmx.workflows.partial import PARTIAL
from lmx.workflows.sweep import sweep
from lmx.workflows.views import TaskView, get_run, get_task, run_events
from tests.support.hands import Hands

HALF = {"attempt": 1, "text": "The tide", "text_length": 8}
SHOWN = {"attempt": 1, "text": "The ti", "text_length": 6}
REPORTED = {"phase": "answering", "partial": 3}
BROKE = {"kind": "timed_out", "message": "the call hangs"}


@pytest.fixture
def lease(hands: Hands) -> Lease:
    """A task whose call shows some text."""
    hands.submit(role="worker", timeout=60)
    lease = hands.take()
    hands.conn.execute(
        "UPDATE lmx.tasks SET progress = %s::jsonb WHERE id = %s",
        [json.dumps({**REPORTED, PARTIAL: SHOWN}), lease.task_id],
    )
    return lease


def late(hands: Hands, lease: Lease, partial: dict[str, Any] = HALF) -> bool:
    """Tell what had come after the lease has ended; returns whether that was taken."""
    (applied,) = hands.apply(keep(lease.task_id, lease.seq, partial, lease.attempts))
    return applied.accepted


def view(hands: Hands, lease: Lease) -> TaskView:
    return get_task(hands.database, lease.task_id)


def test_it_shows_while_the_call_runs_and_is_gone_with_the_result(
    hands: Hands, lease: Lease
) -> None:
    seen = view(hands, lease)
    assert (seen.partial, seen.progress) == (SHOWN, REPORTED)
    assert hands.finish(lease, {"text": "The tide keeps"})
    seen = view(hands, lease)
    assert (seen.partial, seen.error, seen.progress) == (None, None, REPORTED)
    assert hands.value("SELECT progress ? 'partial answer' FROM lmx.tasks") is False


def test_it_is_kept_with_the_error_through_attempts_of_which_nothing_comes(
    hands: Hands, lease: Lease
) -> None:
    end = Operation("retry", lease.task_id, lease.seq, {"delay": 0, "error": BROKE})
    assert all(one.accepted for one in hands.apply(keep(*lease.token, HALF), end))
    assert (view(hands, lease).partial, view(hands, lease).error) == (HALF, BROKE)
    again = hands.take()
    assert view(hands, lease).partial is None, "the present attempt has nothing yet"
    hands.fail(again, "no more")
    seen = view(hands, lease)
    assert (seen.partial, seen.output) == (HALF, None)
    assert seen.error == {"kind": "exception", "message": "no more"}
    assert get_run(hands.database, lease.task_id).error == seen.error
    assert "The tide" not in str(run_events(hands.database, lease.task_id))


def test_a_result_drops_what_had_come_of_earlier_attempts(hands: Hands, lease: Lease) -> None:
    end = Operation("requeue", lease.task_id, lease.seq, {"lost": False})
    hands.apply(keep(*lease.token, HALF), end)
    assert view(hands, lease).partial == HALF
    hands.finish(hands.take(), "whole")
    seen = view(hands, lease)
    assert (seen.partial, seen.error, seen.output) == (None, None, "whole")


def test_a_cancel_keeps_what_was_shown_and_the_worker_may_tell_the_rest(
    hands: Hands, lease: Lease
) -> None:
    control.cancel(hands.database, lease.task_id)
    assert view(hands, lease).partial == SHOWN
    assert late(hands, lease)
    seen = view(hands, lease)
    assert (seen.state, seen.partial) == ("cancelled", HALF)
    assert seen.error == {"kind": "cancelled", "message": "it was cancelled"}


def test_a_deadline_keeps_what_was_shown(hands: Hands, lease: Lease) -> None:
    hands.conn.execute("UPDATE lmx.tasks SET deadline = now()")
    expire_deadlines(hands.conn)
    assert (view(hands, lease).state, view(hands, lease).partial) == ("failed", SHOWN)
    assert late(hands, lease)


def test_a_killed_worker_leaves_what_was_shown(hands: Hands, lease: Lease) -> None:
    hands.conn.execute("UPDATE lmx.workers SET expires_at = now() - interval '1 s'")
    assert sweep(hands.conn).requeued == 1
    assert (view(hands, lease).state, view(hands, lease).partial) == ("ready", SHOWN)


def test_nobody_tells_of_a_lease_after_the_next_claim(
    database: Database, hands: Hands, lease: Lease
) -> None:
    hands.apply(Operation("requeue", lease.task_id, lease.seq, {"lost": False}))
    second = hands.take()
    assert not late(hands, lease)
    hands.fail(second)
    assert not late(hands, lease), "that failure is not the end of the first lease"
    control.retry(database, lease.task_id)
    hands.take()
    assert not late(hands, second)
    assert view(hands, lease).partial is None
