"""Dramatiq's view of a queue: hands out leased messages, and settles them by group commit."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import psycopg
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from lmx.workers import outcome
from lmx.workers.delivery import Delivery, TaskDelivery
from lmx.workers.intake import Intake
from lmx.workers.settlement import Settlement
from lmx.workflows.lease import Lease
from lmx.workflows.retries import describe

if TYPE_CHECKING:
    from lmx.workers.broker import PostgresBroker

log = logging.getLogger("lmx.consumer")

#: How long a stop waits for a database that is away.
REQUEUE_TIMEOUT_S: Final = 5.0


class PostgresConsumer(Consumer):
    """Iterates over the deliveries of one queue; None after `timeout` ms without one.

    A settled delivery commits together with others. Whoever settles waits for that only if someone
    could notice (`PostgresBroker.waits_for_commit`): a crash before the commit repeats the task,
    as a crash just before the ack would.
    """

    def __init__(self, broker: "PostgresBroker", intake: Intake, timeout: int) -> None:
        self._broker = broker
        self._intake = intake
        self._timeout = timeout / 1000

    def __next__(self) -> Delivery | None:
        lease = self._intake.next(self._timeout)
        if lease is None:
            return None
        if not self._intake.open:
            self._intake.give_back(lease)
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
        self._broker.deliveries.pop(delivery.message_id, None)
        if delivery.lease.detached:
            return
        operations = outcome.outcome_of(delivery, failed=failed)
        if not operations:
            delivery.intake.settle(delivery.lease)
            delivery.intake.settled(delivery.lease)
            return
        settlement = Settlement(self._broker.committer, delivery.intake, delivery.lease, operations)
        if self._broker.waits_for_commit(delivery, failed=failed):
            settlement.post_and_wait()
        else:
            settlement.post()

    def _reject_undecodable(self, lease: Lease, error: DecodeError) -> None:
        log.error("task %s holds a message that cannot be decoded: %s", lease.task_id, error)
        failure = outcome.finish_failed(lease, describe(error))
        Settlement(self._broker.committer, self._intake, lease, [failure]).post()

    def _give_back(self, leases: list[Lease]) -> None:
        """Requeue leases; returns when this, and all that was posted before, has committed."""
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
