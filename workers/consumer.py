"""Dramatiq's view of a queue: hands out leased messages, and settles them by group commit."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from lmx.workers import outcome
from lmx.workers.delivery import Delivery, TaskDelivery
from lmx.workers.intake import Intake
from lmx.workflows.errors import LmxError
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation

if TYPE_CHECKING:
    from lmx.workers.broker import PostgresBroker

log = logging.getLogger("lmx.consumer")

REQUEUE_TIMEOUT_S = 10.0


class PostgresConsumer(Consumer):
    """Iterates over the deliveries of one queue; None after `timeout` ms without one.

    Settling a delivery returns when its transaction has committed. A settlement refused because
    the lease has passed to somebody else is logged, never raised: the task is in good hands.
    """

    def __init__(self, broker: "PostgresBroker", intake: Intake, timeout: int) -> None:
        self._broker = broker
        self._intake = intake
        self._timeout = timeout / 1000

    def __next__(self) -> Delivery | None:
        lease = self._intake.next(self._timeout)
        if lease is None:
            return None
        if lease.message is None:
            return TaskDelivery(lease, self._intake)
        try:
            message: Message[Any] = Message.decode(lease.message)
        except DecodeError as error:
            self._reject_undecodable(lease, error)
            return None
        delivery = Delivery(message, lease, self._intake)
        self._broker.deliveries[message.message_id] = delivery
        return delivery

    def ack(self, message: MessageProxy) -> None:
        """Record success, or what the executor or a retry decided instead."""
        self._settle(_ours(message), failed=False)

    def nack(self, message: MessageProxy) -> None:
        """Record failure: the task becomes a dead letter."""
        self._settle(_ours(message), failed=True)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back deliveries that nobody has begun, as if they had never been claimed."""
        deliveries = [_ours(message) for message in messages]
        for delivery in deliveries:
            self._broker.deliveries.pop(delivery.message_id, None)
        self._give_back([delivery.lease for delivery in deliveries])

    def close(self) -> None:
        """Claim no more, and give back what is still buffered."""
        self._intake.close()
        self._broker.committer.remove(self._intake.queue)
        self._give_back(list(self._intake.drain()))

    def _settle(self, delivery: Delivery, *, failed: bool) -> None:
        try:
            self._record(
                delivery.intake, delivery.lease, outcome.outcome_of(delivery, failed=failed)
            )
        finally:
            self._broker.deliveries.pop(delivery.message_id, None)

    def _record(self, intake: Intake, lease: Lease, operations: list[Operation]) -> None:
        intake.settle(lease)
        try:
            if operations:
                self._commit(lease, operations)
        finally:
            intake.settled(lease)

    def _commit(self, lease: Lease, operations: list[Operation]) -> None:
        """Commit a settlement; if it cannot be stored, record instead that the task failed."""
        try:
            applied = self._broker.committer.submit(*operations).wait()
        except psycopg.OperationalError as error:
            log.warning(
                "%s of task %s was not recorded: %s", operations[-1].kind, lease.task_id, error
            )
            return
        except (psycopg.Error, LmxError) as error:
            log.error("the outcome of task %s cannot be stored: %s", lease.task_id, error)
            failure = outcome.finish_failed(lease, outcome.error_of(error))
            applied = self._broker.committer.submit(failure).wait()
        if not applied[-1].accepted:
            log.warning(
                "the %s of task %s (lease %s) was refused: the lease has passed to another worker,"
                " or it was recorded before",
                operations[-1].kind,
                lease.task_id,
                lease.seq,
            )

    def _reject_undecodable(self, lease: Lease, error: DecodeError) -> None:
        log.error("task %s holds a message that cannot be decoded: %s", lease.task_id, error)
        self._record(self._intake, lease, [outcome.finish_failed(lease, outcome.error_of(error))])

    def _give_back(self, leases: list[Lease]) -> None:
        if not leases:
            return
        for lease in leases:
            self._intake.settle(lease)
        ticket = self._broker.committer.submit(*[outcome.requeue(lease) for lease in leases])
        try:
            ticket.wait(REQUEUE_TIMEOUT_S)
        except (TimeoutError, psycopg.Error) as error:
            log.warning(
                "%d tasks could not be given back (%s); the sweeper will do so when this worker's"
                " lease has expired",
                len(leases),
                type(error).__name__,
            )
        finally:
            for lease in leases:
                self._intake.settled(lease)


def _ours(message: MessageProxy) -> Delivery:
    if not isinstance(message, Delivery):
        raise TypeError(f"{message!r} did not come from this broker")
    return message
