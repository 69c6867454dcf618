"""What a process believes to hold, at the moments when that may be wrong."""

import dataclasses

import pytest
from dramatiq.middleware import SkipMessage

from lmx.workers.broker import PostgresBroker
from lmx.workers.delivery import TaskDelivery
from lmx.workers.intake import Intake
from lmx.workers.outcome import outcome_of
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.sweep import MAX_DELIVERIES
from tests.support.leases import lease_of


@pytest.fixture
def intake() -> Intake:
    return Intake("work", 16, lambda: 1)


def test_a_task_leased_anew_before_its_last_lease_was_put_away_stays_held(intake: Intake) -> None:
    """A parked coordinator may be woken and claimed before the thread that parked it goes on."""
    first = lease_of(7)
    second = dataclasses.replace(first, seq=2)
    intake.take([first])
    intake.take([second])
    intake.settle(first)
    intake.settled(first)
    assert intake.holds(second)
    assert intake.known() == [7]


def test_what_is_skipped_because_its_lease_was_lost_is_not_recorded_as_done(
    intake: Intake, database: Database
) -> None:
    broker = PostgresBroker(database)
    delivery = TaskDelivery(lease_of(7), intake)
    intake.take([delivery.lease])
    intake.forget()
    with pytest.raises(SkipMessage):
        broker.emit_before("process_message", delivery)
    assert outcome_of(delivery, failed=False) == []


def test_a_delivery_without_an_outcome_is_never_a_success(intake: Intake) -> None:
    delivery = TaskDelivery(lease_of(7), intake)
    (end,) = outcome_of(delivery, failed=False)
    assert end.kind == "retry"


def test_a_suspect_begins_when_all_else_has_committed(intake: Intake) -> None:
    other, suspect = lease_of(1), lease_of(2, deliveries=MAX_DELIVERIES)
    intake.take([other, suspect])
    assert intake.next(0) is other
    intake.settle(other)
    assert intake.next(0) is None, "the other's outcome has not committed"
    intake.settled(other)
    assert intake.next(0) is suspect


def test_nothing_begins_beside_a_suspect_until_its_outcome_has_committed(intake: Intake) -> None:
    suspect = lease_of(2, deliveries=MAX_DELIVERIES)
    intake.take([suspect])
    assert intake.next(0) is suspect
    assert intake.slots() == 0
    intake.settle(suspect)
    assert intake.slots() == 0
    intake.settled(suspect)
    assert intake.slots() == 16


def test_further_suspects_go_back_to_the_queue(intake: Intake) -> None:
    returned: list[Lease] = []
    intake.give_back = returned.append
    suspects = [lease_of(n, deliveries=MAX_DELIVERIES) for n in range(3)]
    intake.take(suspects)
    assert returned == suspects[1:]
    assert intake.next(0) is None, "those given back are not yet in the queue"
    for one in returned:
        intake.settle(one)
        intake.settled(one)
    assert intake.next(0) is suspects[0]


def test_what_is_cancelled_before_it_began_is_not_begun(intake: Intake, database: Database) -> None:
    broker = PostgresBroker(database)
    cancelled, other = TaskDelivery(lease_of(7), intake), TaskDelivery(lease_of(8), intake)
    intake.take([cancelled.lease, other.lease])
    intake.revoke([7, 9])
    with pytest.raises(SkipMessage):
        broker.emit_before("process_message", cancelled)
    broker.emit_before("process_message", other)
    assert outcome_of(cancelled, failed=False) == []


def test_a_cancelled_suspect_holds_up_nobody(intake: Intake) -> None:
    suspect = lease_of(2, deliveries=MAX_DELIVERIES)
    intake.take([lease_of(1), suspect])
    intake.revoke([2])
    assert intake.slots() == 15
