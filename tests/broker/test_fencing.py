"""Who has lost a lease can write nothing: no end, no retry, no message, no result."""

from typing import Any

import pytest
from dramatiq import Broker, Middleware
from dramatiq.results import Results

from lmx.workers.broker import PostgresBroker
from lmx.workers.consumer import PostgresConsumer
from lmx.workers.delivery import Delivery
from lmx.workers.results import PostgresResults
from lmx.workflows.database.connect import Connection, Database
from tests.broker.conftest import Declare


class Sequel(Middleware):
    """Sends another message after each one of the actor `first`."""

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        if message.actor_name == "first":
            broker.get_actor("second").send()


@pytest.fixture
def results(database: Database, broker: PostgresBroker) -> PostgresResults:
    broker.add_middleware(Sequel())
    backend = PostgresResults(database)
    broker.add_middleware(Results(backend=backend))
    return backend


@pytest.fixture
def consumer(broker: PostgresBroker) -> PostgresConsumer:
    broker.declare_queue("default")
    return broker.consume("default", prefetch=1, timeout=20_000)


def take(consumer: PostgresConsumer) -> Delivery:
    """The next delivery, which must come."""
    delivery = next(consumer)
    assert delivery is not None
    return delivery


def lose_leases(sql: Connection) -> None:
    """Do as the sweeper does with the tasks of a worker declared dead."""
    sql.execute("UPDATE lmx.tasks SET state = 'ready', worker_id = NULL WHERE state = 'leased'")


def states(sql: Connection) -> list[tuple[str, str]]:
    return sql.execute("SELECT name, state::text FROM lmx.tasks ORDER BY id").fetchall()


def process(broker: PostgresBroker, consumer: PostgresConsumer, delivery: Delivery) -> None:
    """Do as a worker thread does after the actor has returned."""
    broker.emit_after("process_message", delivery, result="late")
    broker.emit_before("ack", delivery)
    consumer.ack(delivery)
    broker.emit_after("ack", delivery)


def settled(broker: PostgresBroker) -> None:
    """Wait until all that was acknowledged so far has committed."""
    broker.committer.submit().wait(20)


@pytest.mark.usefixtures("results")
def test_while_the_lease_stands_everything_is_recorded(
    broker: PostgresBroker, actor: Declare, consumer: PostgresConsumer, sql: Connection
) -> None:
    first = actor(lambda: "late", actor_name="first", store_results=True)
    actor(lambda: None, actor_name="second", queue_name="other")
    first.send()
    process(broker, consumer, take(consumer))
    settled(broker)
    assert states(sql) == [("first", "succeeded"), ("second", "ready")]
    assert sql.execute("SELECT count(*) FROM lmx.results").fetchone() == (1,)


@pytest.mark.usefixtures("results")
def test_a_zombies_success_message_and_result_are_refused(
    broker: PostgresBroker, actor: Declare, consumer: PostgresConsumer, sql: Connection
) -> None:
    # Given a delivery whose lease was taken away while its actor ran
    first = actor(lambda: "late", actor_name="first", store_results=True)
    actor(lambda: None, actor_name="second", queue_name="other")
    first.send()
    delivery = take(consumer)
    consumer._intake.close()
    lose_leases(sql)

    # When it is settled all the same
    process(broker, consumer, delivery)
    settled(broker)

    # Then nothing has changed: not its state, no message sent, no result kept
    assert states(sql) == [("first", "ready")]
    assert sql.execute("SELECT count(*) FROM lmx.results").fetchone() == (0,)


def test_a_zombies_failure_is_refused(
    broker: PostgresBroker, actor: Declare, consumer: PostgresConsumer, sql: Connection
) -> None:
    work = actor(lambda: None, actor_name="work")
    work.send()
    delivery = take(consumer)
    consumer._intake.close()
    lose_leases(sql)
    delivery.fail()
    consumer.nack(delivery)
    settled(broker)
    assert states(sql) == [("work", "ready")]


def test_a_zombies_retry_is_refused(
    broker: PostgresBroker, actor: Declare, consumer: PostgresConsumer, sql: Connection
) -> None:
    work = actor(lambda: None, actor_name="work")
    work.send()
    delivery = take(consumer)
    consumer._intake.close()
    lose_leases(sql)
    broker.emit_after("process_message", delivery, exception=ValueError("late"))
    consumer.ack(delivery)
    settled(broker)
    assert sql.execute("SELECT state::text, attempts FROM lmx.tasks").fetchall() == [("ready", 0)]


def test_a_second_holder_is_not_disturbed_by_the_first(
    broker: PostgresBroker,
    actor: Declare,
    database: Database,
    consumer: PostgresConsumer,
    sql: Connection,
) -> None:
    # Given a message leased by two brokers, one after the other
    work = actor(lambda: None, actor_name="work")
    work.send()
    old = take(consumer)
    consumer._intake.close()
    lose_leases(sql)
    other = PostgresBroker(database)
    other.declare_queue("default")
    second = other.consume("default", prefetch=1, timeout=20_000)
    new = take(second)
    assert new.message_id == old.message_id
    assert new.lease.seq == old.lease.seq + 1

    # When the first one ends it
    consumer.ack(old)
    settled(broker)

    # Then the second one still holds it, and ends it
    assert states(sql) == [("work", "leased")]
    second.ack(new)
    settled(other)
    assert states(sql) == [("work", "succeeded")]
    second.close()
    other.close()


def test_what_a_broker_knows_to_have_lost_is_not_begun(
    broker: PostgresBroker, actor: Declare, consumer: PostgresConsumer, sql: Connection
) -> None:
    # Given a delivery that was fetched and not begun
    work = actor(lambda: None, actor_name="work")
    work.send()
    delivery = take(consumer)

    # When the broker hears that its leases are void
    broker.leases_lost()

    # Then the delivery is skipped
    assert delivery.void
    with pytest.raises(Exception, match="was lost"):
        broker.emit_before("process_message", delivery)
