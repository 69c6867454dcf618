"""A Dramatiq broker on Postgres: the row in lmx.tasks is the queue entry, the lease and the result.

    dramatiq.set_broker(PostgresBroker(resolve_database(load_settings())))

Beside Dramatiq's own interface it offers `enqueue_many`, and `transaction`, inside which messages
are enqueued in the caller's own database transaction. Delays are due times in the row; there are
no delay queues. docs/decisions/0005-dramatiq-broker.md says what differs from other brokers.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from dramatiq.broker import Broker
from dramatiq.errors import ConnectionFailed, QueueNotFound
from dramatiq.message import Message
from dramatiq.middleware import Middleware, SkipMessage

from lmx.workers import backlog, outbox, outcome
from lmx.workers.consumer import PostgresConsumer
from lmx.workers.delivery import EXECUTE, Delivery, TaskDelivery
from lmx.workers.intake import Intake, IntakeFactory
from lmx.workers.reconcile import reconcile
from lmx.workers.sending import Sender, connection_failures, lent, lent_connection
from lmx.workers.settlement import Settlement
from lmx.workers.window import Window
from lmx.workflows.commit import Committer
from lmx.workflows.database.callers import CallerConnection, driver_connection
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.lease import Lease
from lmx.workflows.leases import Registration
from lmx.workflows.notices import MAX_QUEUE_NAME
from lmx.workflows.turn import Counters


class PostgresBroker(Broker):
    """Dramatiq messages as rows of lmx.tasks, claimed under leases and settled by group commit.

    Nothing is opened before it is needed, so actors may be declared where no database is.
    `registration` is this process's entry among the workers, when the process has one already;
    without it the broker registers itself when it first consumes. With `slots`, the number of
    tasks worked on at a time, consumers hold few more leases than that while tasks take long, and
    up to their prefetch while they are short. Connection failures are raised as Dramatiq's
    ConnectionFailed, with the one line that says what to do.
    """

    def __init__(
        self,
        database: Database,
        *,
        middleware: list[Middleware] | None = None,
        registration: Registration | None = None,
        poll_s: float = 1.0,
        slots: int | None = None,
        intake: IntakeFactory = Intake,
    ) -> None:
        self.database = database
        self.registration = registration
        self.deliveries: dict[str, Delivery] = {}
        self._owns_registration = registration is None
        self._poll_s = poll_s
        self._slots = slots
        self._intake = intake
        self._committer: Committer | None = None
        self._intakes: list[Intake] = []
        self._starting = threading.Lock()
        self._pid = os.getpid()
        self._pool = HotPool(database)
        self._sender = Sender(self._pool, self._priority_of)
        super().__init__(middleware)
        self.queues: dict[str, None] = {}

    @property
    def committer(self) -> Committer:
        """The group commit of this process; it runs from the first `consume` to `close`."""
        if self._committer is None:
            raise ConnectionFailed("nothing has been consumed through this broker yet")
        return self._committer

    @property
    def counters(self) -> Counters:
        """What the group commit has done so far."""
        return self._committer.counters if self._committer else Counters()

    @property
    def worker_id(self) -> int:
        """The worker that this process's leases belong to; 0 before it has registered."""
        return self.registration.worker_id if self.registration else 0

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue. Its row is created when it is first used."""
        if queue_name in self.queues:
            return
        if len(queue_name.encode()) > MAX_QUEUE_NAME:
            raise ValueError(f"the queue name {queue_name!r} is longer than {MAX_QUEUE_NAME} bytes")
        self.emit_before("declare_queue", queue_name)
        self.queues[queue_name] = None
        self.emit_after("declare_queue", queue_name)

    def enqueue(
        self,
        message: Message[Any],
        *,
        delay: int | None = None,
        connection: CallerConnection | None = None,
    ) -> Message[Any]:
        """Queue a message, due in `delay` milliseconds.

        With `connection`, or inside `transaction`, it is queued when the caller's transaction
        commits, and never if that rolls back. Raises QueueNotFound, ConnectionFailed.
        """
        self._require_queue(message.queue_name)
        self.emit_before("enqueue", message, delay)
        held = self.deliveries.get(message.message_id)
        collecting = outbox.current_delivery()
        if held is not None:
            held.retry = outcome.retry(held.lease, message, delay)
        elif collecting is not None and connection is None:
            fields = self._sender.fields(message, delay)
            fields["message"] = outcome.in_base64(message.encode())
            outbox.add_effect(collecting, "send", **fields)
        else:
            with connection_failures():
                self._sender.send(message, delay, self._caller(connection))
        self.emit_after("enqueue", message, delay)
        return message

    def enqueue_many(
        self,
        messages: Sequence[Message[Any]],
        *,
        delay: int | None = None,
        connection: CallerConnection | None = None,
    ) -> None:
        """Queue messages in one statement and one commit: all of them or, after an error, none."""
        for message in messages:
            self._require_queue(message.queue_name)
            self.emit_before("enqueue", message, delay)
        with connection_failures():
            self._sender.send_many(messages, delay, self._caller(connection))
        for message in messages:
            self.emit_after("enqueue", message, delay)

    @contextmanager
    def transaction(self, connection: CallerConnection) -> Iterator[None]:
        """Enqueue on the caller's connection while the block runs: `actor.send` among others.

        The block neither commits nor rolls back; the caller's transaction decides.
        """
        with lent(connection):
            yield

    def consume(
        self, queue_name: str, prefetch: int = 1, timeout: int = 30_000
    ) -> PostgresConsumer:
        """Return a consumer that holds at most `prefetch` leases, those in work included."""
        self._require_queue(queue_name)
        with connection_failures():
            committer = self._started()
            self._sender.ensure_queues([queue_name])
        intake = self._intake(queue_name, prefetch, lambda: self.worker_id)
        intake.runs_tasks = EXECUTE in self.actors
        intake.give_back = lambda lease: self._give_back(intake, lease)
        if self._slots is not None:
            intake.window = Window(floor=self._slots, ceiling=prefetch)
        with self._starting:
            self._intakes = [old for old in self._intakes if not old.over()] + [intake]
        committer.add(intake)
        return PostgresConsumer(self, intake, timeout)

    def stop_claiming(self) -> None:
        """Lease no more tasks; what was leased and not handed out yet goes back."""
        for intake in self._intakes:
            intake.close()

    def close(self) -> None:
        """Commit what is outstanding, sign off if the broker had registered, disconnect."""
        with self._starting:
            if self._committer is not None:
                self._committer.stop()
                self._committer = None
            if self._owns_registration and self.registration is not None:
                self.registration.stop()
                self.registration = None
            self._pool.close()

    def flush(self, queue_name: str) -> None:
        """Cancel the messages that wait in a queue. Leased ones, and lmx's own tasks, stay."""
        self._require_queue(queue_name)
        with connection_failures():
            backlog.cancel_messages(self._pool, queue_name)

    def flush_all(self) -> None:
        """Cancel the messages that wait in the declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Wait until nothing in the queue is ready, leased or scheduled.

        Outages meanwhile are waited out. Raises QueueNotFound, ConnectionFailed if the database
        cannot be reached to begin with, and QueueJoinTimeout after `timeout` milliseconds.
        """
        self._require_queue(queue_name)
        with connection_failures():
            backlog.join(self._pool, queue_name, None if timeout is None else timeout / 1000)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Run the middleware's hooks; not for lmx's own tasks, and not for a lost lease."""
        subject = args[0] if args else None
        if isinstance(subject, Delivery) and signal == "process_message" and subject.void:
            subject.lease.settled = True  # Dramatiq acknowledges what is skipped
            raise SkipMessage(f"the lease of task {subject.lease.task_id} was lost")
        if not isinstance(subject, TaskDelivery):
            super().emit_before(signal, *args, **kwargs)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Run the middleware's hooks; what they send after an actor waits for its outcome."""
        subject = args[0] if args else None
        if isinstance(subject, TaskDelivery):
            return
        if isinstance(subject, Delivery) and signal in ("process_message", "skip_message"):
            with outbox.collecting(subject):
                super().emit_after(signal, *args, **kwargs)
        else:
            super().emit_after(signal, *args, **kwargs)

    def _require_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)

    def _priority_of(self, message: Message[Any]) -> int:
        chosen = message.options.get("priority")
        if isinstance(chosen, int):
            return chosen
        actor = self.actors.get(message.actor_name)
        return actor.priority if actor is not None else 0

    def _caller(self, connection: CallerConnection | None) -> psycopg.Connection[Any] | None:
        return lent_connection() if connection is None else driver_connection(connection)

    def _started(self) -> Committer:
        """Register this process and start its group commit, once."""
        with self._starting:
            if self.registration is None:
                self.registration = self._register()
            if self._committer is None:
                committer = Committer(self._connect, poll_s=self._poll_s, reconcile=self._reconcile)
                committer.start()
                self._committer = committer
            return self._committer

    def _register(self) -> Registration:
        registration = Registration(
            self.database, name="dramatiq", queues=tuple(sorted(self.queues))
        )
        registration.on_lost = self.leases_lost
        registration.on_beat = lambda _: self.check_leases()
        registration.start()
        return registration

    def waits_for_commit(self, delivery: Delivery, *, failed: bool) -> bool:
        """Whether whoever settles this delivery must not go on before it has committed.

        Only hooks that run after an ack could tell the difference, and lmx's own tasks have none.
        """
        if isinstance(delivery, TaskDelivery):
            return False
        hook = "after_nack" if failed else "after_ack"
        return any(getattr(type(m), hook) is not getattr(Middleware, hook) for m in self.middleware)

    def check_leases(self) -> None:
        """Let the group commit give back leases that this process does not know of."""
        if self._committer is not None:
            self._committer.request_reconcile()

    def revoke(self, task_ids: Iterable[int]) -> None:
        """These tasks were cancelled: those that this process has not begun are not begun."""
        ids = list(task_ids)
        for intake in self._intakes:
            intake.revoke(ids)

    def leases_lost(self) -> None:
        """Others have declared this worker dead: what it holds is void."""
        for intake in self._intakes:
            intake.forget()

    def _connect(self) -> psycopg.Connection[Any]:
        return self.database.connect_hot(application_name=f"lmx worker {self.worker_id}")

    def _reconcile(self, conn: psycopg.Connection[Any]) -> None:
        known = [task for intake in self._intakes for task in intake.known()]
        reconcile(conn, self.worker_id, known)

    def _give_back(self, intake: Intake, lease: Lease) -> None:
        Settlement(self.committer, intake, lease, [outcome.requeue(lease)]).post()
