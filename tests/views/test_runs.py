"""Listing runs."""

import pytest
from sqlalchemy.event import listen

from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, NotFound
from lmx.workflows.views import get_run, list_runs
from tests.support.hands import Hands
from tests.support.plans import indexes_used, rows_read, tables_scanned


def test_runs_are_listed_newest_first_and_without_their_children(
    database: Database, hands: Hands
) -> None:
    first, _ = hands.run_to_parked("a", "b")
    second = hands.submit(role="worker", budgets={"usd": 7})

    found = list_runs(database)

    assert [run.id for run in found] == [second, first]
    assert [[b.ceiling for b in run.budgets] for run in found] == [[7], []]


def test_a_page_goes_on_where_the_last_one_ended(database: Database, hands: Hands) -> None:
    runs = [hands.submit(role="worker") for _ in range(5)]

    first = list_runs(database, limit=2)
    second = list_runs(database, limit=2, before=first[-1].id)

    assert [run.id for run in [*first, *second]] == runs[:0:-1]


def test_runs_are_chosen_by_state_and_name(database: Database, hands: Hands) -> None:
    parked, _ = hands.run_to_parked("child")
    hands.finish(hands.take())
    hands.fail(hands.mind())
    ready = hands.submit()
    lone = hands.submit(role="worker")

    def ids(**which: str) -> list[int]:
        return [run.id for run in list_runs(database, **which)]  # type: ignore[arg-type]

    assert ids(state="failed") == [parked]
    assert ids(state="active") == [lone, ready]
    assert ids(name="review") == [ready, parked]
    with pytest.raises(InvalidInput, match="'lost' is no state of a run"):
        ids(state="lost")


def test_a_task_within_a_run_is_no_run(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked("child")

    assert get_run(database, run).state == "parked"
    for unknown in (child, 99):
        with pytest.raises(NotFound, match=f"there is no run {unknown}"):
            get_run(database, unknown)


@pytest.mark.parametrize(
    ("state", "index"),
    [
        (None, "tasks_pkey"),
        ("succeeded", "tasks_pkey"),
        ("active", "tasks_open"),
        ("scheduled", "tasks_open"),
        ("ready", "tasks_open"),
        ("leased", "tasks_open"),
        ("parked", "tasks_open"),
        ("failed", "tasks_dead"),
        ("cancelled", "tasks_dead"),
    ],
)
def test_the_runs_of_a_state_are_found_without_reading_the_history(
    database: Database, hands: Hands, state: str | None, index: str
) -> None:
    """None of the history is in the state that is asked for, but for `succeeded`."""
    _add_finished(hands, 20_000)
    statements = []
    listen(database.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2:4]))
    list_runs(database, state=state)
    query, arguments = statements[0]
    plan = hands.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", arguments)[0]["Plan"]

    assert tables_scanned(plan) <= {"runs"}, "which only runs with a coordinator are in"
    assert indexes_used(plan, "tasks") == {index}
    assert rows_read(plan, index) <= 50


def _add_finished(hands: Hands, count: int) -> None:
    hands.conn.execute(
        "INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, finished_at)"
        " SELECT nextval('lmx.task_ids'), n, 'worker', 'work', 'call', 'succeeded', now()"
        " FROM generate_series(1, %s) n",
        [count],
    )
    hands.conn.execute("ANALYZE lmx.tasks")
