"""Signals to coordinators."""

import threading

import pytest

from lmx.workflows.control import signal
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, InvalidInput, NotFound, Refused
from lmx.workflows.operations import Operation, apply
from tests.support.hands import COORDINATORS, Hands, until_blocked_by


def test_a_signal_wakes_the_coordinator_that_waits_for_it(database: Database, hands: Hands) -> None:
    run = hands.submit()
    hands.park(hands.mind(), signal="approved", signal_seq=1)

    signal(database, run, "other")
    assert hands.state(run) == "parked"
    signal(database, run, "approved", {"by": "me"})
    assert hands.state(run) == "ready"


def test_signals_of_a_name_are_numbered_from_one(database: Database, hands: Hands) -> None:
    run = hands.submit()

    numbers = [signal(database, run, name) for name in ("go", "go", "stop", "go")]

    assert numbers == [1, 2, 1, 3]


def test_a_signal_that_comes_first_is_kept(database: Database, hands: Hands) -> None:
    run = hands.submit()
    lease = hands.mind()
    signal(database, run, "approved", [1, 2])

    assert not hands.park(lease, signal="approved", signal_seq=1)
    assert hands.value("SELECT payload FROM lmx.signals WHERE task_id = %s", run) == [1, 2]


def test_a_signal_sent_while_the_coordinator_parks_is_not_lost(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    lease = hands.mind()
    other = Hands(database, "other")
    sender = threading.Thread(target=signal, args=(database, run, "go"))
    fields = {"signal": "go", "signal_seq": 1}
    with hands.conn.transaction():
        apply(hands.conn, [Operation("park", run, lease.seq, fields)])
        sender.start()
        until_blocked_by(hands, other)
    sender.join()
    other.close()

    assert hands.take(COORDINATORS).task_id == run


def test_many_signals_at_once_get_numbers_of_their_own(database: Database, hands: Hands) -> None:
    run = hands.submit()
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(signal(database, run, "go")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == list(range(1, 9))


def test_what_cannot_receive_a_signal_says_so(database: Database, hands: Hands) -> None:
    worker = hands.submit(role="worker")
    done = hands.submit()
    hands.finish(hands.mind())

    with pytest.raises(NotFound, match="there is no task 99"):
        signal(database, 99, "go")
    with pytest.raises(Refused, match=f"task {worker} is no coordinator"):
        signal(database, worker, "go")
    with pytest.raises(Conflict, match=f"task {done} has finished"):
        signal(database, done, "go")


@pytest.mark.parametrize("name", ["", "a#1", "a:b", "nul\0", "x" * 201])
def test_a_name_that_cannot_be_waited_for_is_refused(
    database: Database, hands: Hands, name: str
) -> None:
    run = hands.submit()
    with pytest.raises(InvalidInput):
        signal(database, run, name)


def test_a_payload_that_postgres_cannot_store_is_refused(database: Database, hands: Hands) -> None:
    run = hands.submit()
    with pytest.raises(InvalidInput, match="NUL"):
        signal(database, run, "go", "nul\0")
    assert hands.value("SELECT count(*) FROM lmx.signals") == 0
