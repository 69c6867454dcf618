"""The events of a run."""

import pytest

from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound
from lmx.workflows.views import EventView, run_events
from tests.support.hands import Hands


def _told(events: list[EventView]) -> list[tuple[str, str | None]]:
    return [(event.kind, event.key) for event in events]


def test_a_runs_events_are_told_in_the_order_in_which_they_happened(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    hands.checkpoint(root, "plan")
    hands.spawn(root, "child")
    child = hands.take()
    hands.finish(child, "result")
    hands.finish(root, "done")

    events = run_events(database, run)

    assert _told(events) == [
        ("submitted", None),
        ("started", None),
        ("checkpoint", None),
        ("submitted", "child"),
        ("started", "child"),
        ("finished", "child"),
        ("finished", None),
    ]
    assert events[2].data == {"name": "plan"}
    assert events[-1].data == {"state": "succeeded"}


def test_a_failure_tells_its_error(database: Database, hands: Hands) -> None:
    run = hands.submit(role="worker")
    hands.fail(hands.take(), "it broke")

    assert run_events(database, run)[-1].data == {
        "state": "failed",
        "error": {"kind": "exception", "message": "it broke"},
    }


def test_following_the_cursor_repeats_nothing_and_misses_nothing(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    hands.spawn(root, *(f"c{n}" for n in range(10)))
    hands.park(root)
    cancel(database, run)

    followed: list[EventView] = []
    cursor = 0
    while page := run_events(database, run, cursor, limit=3):
        followed += page
        cursor = page[-1].cursor

    assert followed == run_events(database, run)


def test_an_event_that_commits_late_is_not_overtaken(database: Database, hands: Hands) -> None:
    run = hands.submit()
    root = hands.mind()
    other = Hands(database, "other")
    with hands.conn.transaction():
        hands.checkpoint(root, "slow")
        other.conn.execute(
            "INSERT INTO lmx.events (run_id, task_id, kind) VALUES (%s, %s, 'noted')", [run, run]
        )
        early = run_events(database, run)
    other.close()

    assert _told(early) == [("submitted", None), ("started", None)]
    late = run_events(database, run, early[-1].cursor)
    assert [event.kind for event in late] == ["checkpoint", "noted"]


def test_an_unknown_run_has_no_events(database: Database) -> None:
    with pytest.raises(NotFound):
        run_events(database, 99)
