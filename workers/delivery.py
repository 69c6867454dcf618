"""What a consumer hands to Dramatiq's worker threads: a leased task in a message's clothes."""

from typing import Any, Final

from dramatiq.broker import MessageProxy
from dramatiq.message import Message

from lmx.workers.intake import Intake
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation

#: The actor that runs lmx's own tasks; its one argument is the lease.
EXECUTE: Final = "lmx.execute"


class Delivery(MessageProxy):
    """A message together with its lease, whose token fences everything written on its behalf.

    `retry` is the operation that puts the same message back instead of finishing it; `effects`
    are the writes that commit together with the outcome: messages sent and results stored by the
    hooks that run after the actor.
    """

    def __init__(self, message: Message[Any], lease: Lease, intake: Intake) -> None:
        super().__init__(message)
        # Instance attributes, so that Dramatiq's many reads do not go through __getattr__.
        self.queue_name = message.queue_name
        self.actor_name = message.actor_name
        self.args = message.args
        self.kwargs = message.kwargs
        self.options = message.options
        self.message_id = message.message_id
        self.lease = lease
        self.intake = intake
        self.retry: Operation | None = None
        self.effects: list[Operation] = []

    @property
    def void(self) -> bool:
        """Whether this process knows that it has lost the lease."""
        return not self.intake.holds(self.lease)

    @property
    def exception(self) -> BaseException | None:
        """What the actor raised, until the delivery has been settled."""
        return self._exception


class TaskDelivery(Delivery):
    """One of lmx's own tasks, on its way to the executor; no middleware takes part in it."""

    def __init__(self, lease: Lease, intake: Intake) -> None:
        message: Message[Any] = Message(
            lease.queue, EXECUTE, (lease,), {}, {}, str(lease.task_id), int(lease.claimed_at * 1000)
        )
        super().__init__(message, lease, intake)
