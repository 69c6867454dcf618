"""The task row is the queue: one message is one row, from its enqueue to its end."""

import secrets
import threading
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.errors import ConnectionFailed, Retry

from lmx.workers.broker import PostgresBroker
from lmx.workflows.database.connect import Connection, Database
from tests.broker.conftest import Declare, Working

SOON = {"min_backoff": 1, "max_backoff": 5}


def rows(sql: Connection, columns: str) -> list[tuple[Any, ...]]:
    """Columns of all tasks, in the order of their ids."""
    return sql.execute(f"SELECT {columns} FROM lmx.tasks ORDER BY id").fetchall()


def test_an_enqueued_message_is_one_ready_row(
    broker: PostgresBroker, actor: Declare, sql: Connection
) -> None:
    work = actor(lambda text: None, actor_name="work", queue_name="jobs")
    sent = work.send("hello")
    ((queue, name, state, key, message),) = rows(
        sql, "queue, name, state::text, idempotency_key, message"
    )
    assert (queue, name, state) == ("jobs", "work", "ready")
    assert key == f"dramatiq:{sent.message_id}"
    assert Message.decode(message) == sent


def test_every_enqueue_commits_by_itself(
    broker: PostgresBroker, actor: Declare, sql: Connection
) -> None:
    # When a client sends ten messages one by one
    work = actor(lambda number: None, actor_name="work")
    for number in range(10):
        work.send(number)

    # Then ten transactions have written one row each
    assert len(set(rows(sql, "xmin"))) == 10


def test_a_retry_is_the_same_row(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    # Given an actor that fails twice
    attempts: list[int] = []

    def flaky() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")

    work = actor(flaky, **SOON)

    # When it is done
    work.send()
    with working(broker):
        broker.join("default", timeout=20_000)

    # Then there was ever one row, which counts its attempts and remembers the last error
    ((state, failed, seq, error),) = rows(
        sql, "state::text, attempts, lease_seq, error->>'message'"
    )
    assert (state, failed, seq, error) == ("succeeded", 2, 3, "not yet")


def test_a_waiting_retry_says_when_and_why(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    tried = threading.Event()

    def later() -> None:
        tried.set()
        raise Retry("the kitchen is closed", delay=60_000)

    work = actor(later)
    work.send()
    with working(broker):
        tried.wait(20)
    ((state, due, reason, options),) = rows(
        sql, "state::text, run_at > now() + interval '50 s', error->>'message', message"
    )
    assert (state, due, reason) == ("scheduled", True, "the kitchen is closed")
    assert Message.decode(options).options["retries"] == 1


def test_a_dead_letter_tells_what_happened(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    def fail() -> None:
        raise ValueError("broken")

    work = actor(fail, max_retries=0)
    work.send()
    with working(broker):
        broker.join("default", timeout=20_000)
    ((state, error),) = rows(sql, "state::text, error")
    assert state == "failed"
    assert (error["kind"], error["type"], error["message"]) == ("exception", "ValueError", "broken")
    assert "fail" in error["traceback"]


def test_a_message_that_cannot_be_decoded_is_a_dead_letter(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    # Given a row whose message somebody has damaged, ahead of a good one
    seen: list[str] = []
    work = actor(seen.append, actor_name="work")
    work.send("damaged")
    work.send("good")
    sql.execute(
        "UPDATE lmx.tasks SET message = 'no JSON' WHERE id = (SELECT min(id) FROM lmx.tasks)"
    )

    # When they are processed
    with working(broker, threads=1):
        broker.join("default", timeout=20_000)

    # Then the damaged one is set aside
    assert seen == ["good"]
    assert rows(sql, "state::text, error->>'type'") == [
        ("failed", "DecodeError"),
        ("succeeded", None),
    ]


def test_more_urgent_messages_are_claimed_first(broker: PostgresBroker, actor: Declare) -> None:
    # Given messages of two priorities, sent while nobody works
    casual = actor(lambda: None, actor_name="casual", priority=10)
    urgent = actor(lambda: None, actor_name="urgent")
    for _ in range(2):
        casual.send()
    for _ in range(2):
        urgent.send()
    casual.send_with_options(priority=-5)

    # When a consumer claims them one by one
    consumer = broker.consume("default", prefetch=1, timeout=20_000)
    claimed: list[str] = []
    for _ in range(5):
        delivery = next(consumer)
        assert delivery is not None
        claimed.append(delivery.actor_name)
        consumer.ack(delivery)
    consumer.close()

    # Then the urgent ones come first, and a message's own priority counts more than its actor's
    assert claimed == ["casual", "urgent", "urgent", "casual", "casual"]


def test_a_message_is_queued_once_at_a_time(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    # Given a message that waits
    seen: list[int] = []
    work = actor(seen.append, actor_name="work")
    message = work.send(1)

    # When the same message is enqueued again, alone and in a batch with another
    broker.enqueue(message)
    broker.enqueue_many([message, work.message(2)])
    with working(broker, threads=1):
        broker.join("default", timeout=20_000)

        # Then it is processed once
        assert seen == [1, 2]

        # When it is enqueued again after it was done
        broker.enqueue(message)
        broker.enqueue_many([message])
        broker.join("default", timeout=20_000)

    # Then it is processed again
    assert seen[:3] == [1, 2, 1]
    assert rows(sql, "state::text") == [("succeeded",)] * len(seen)


def test_a_batch_is_one_transaction_and_keeps_its_order(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    seen: list[int] = []
    work = actor(seen.append, actor_name="work")
    broker.enqueue_many([work.message(number) for number in range(500)])
    assert len(set(rows(sql, "xmin"))) == 1
    with working(broker, threads=1):
        broker.join("default", timeout=20_000)
    assert seen == list(range(500))


def test_a_batch_that_cannot_be_enqueued_whole_is_not_enqueued(
    broker: PostgresBroker, actor: Declare, sql: Connection
) -> None:
    work = actor(lambda number: None, actor_name="work")
    too_long: Message[None] = work.message(1).copy(message_id=secrets.token_hex(5000))
    with pytest.raises(Exception, match="index row"):
        broker.enqueue_many([work.message(0), too_long])
    assert rows(sql, "id") == []


def test_a_queue_name_that_postgres_could_not_notify_is_refused(broker: PostgresBroker) -> None:
    with pytest.raises(ValueError, match="longer than 59 bytes"):
        broker.declare_queue("q" * 60)
    broker.declare_queue("q" * 59)


def test_actors_can_be_declared_where_no_database_is() -> None:
    # Given a broker whose database does not answer
    nowhere = PostgresBroker(Database("host=127.0.0.1 port=1 dbname=none connect_timeout=1"))
    nowhere.declare_queue("default")

    # When something is sent, I expect one line that says so
    message: Message[None] = Message("default", "work", (), {}, {})
    with pytest.raises(ConnectionFailed, match="nothing listens there"):
        nowhere.enqueue(message)


def test_flush_keeps_a_record(broker: PostgresBroker, actor: Declare, sql: Connection) -> None:
    work = actor(lambda: None, actor_name="work")
    work.send()
    work.send_with_options(delay=60_000)
    broker.flush("default")
    assert rows(sql, "state::text, finished_at IS NOT NULL") == [("cancelled", True)] * 2
