"""The way of one lease's outcome into the database."""

import logging
from threading import Lock

import psycopg

from lmx.workers import outcome
from lmx.workers.intake import Intake
from lmx.workflows.commit import Committer
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Applied, Operation
from lmx.workflows.retries import describe

log = logging.getLogger("lmx.settlement")


def settle(committer: Committer, intake: Intake, lease: Lease, operations: list[Operation]) -> None:
    """Post an outcome, or give the slot back of a lease that has none to record."""
    if operations:
        Settlement(committer, intake, lease, operations).post()
    else:
        intake.settle(lease)
        intake.settled(lease)


class Settlement:
    """Posts an outcome to the group commit, and sees to what becomes of it.

    A settlement that is refused because the lease has passed to somebody else is logged, never
    raised: the task is in good hands. An outcome that cannot be stored is replaced by a failure
    that says why, so that no lease stays open for ever.
    """

    __slots__ = ("_committer", "_intake", "_lease", "_operations", "_over")

    def __init__(
        self, committer: Committer, intake: Intake, lease: Lease, operations: list[Operation]
    ) -> None:
        self._committer = committer
        self._intake = intake
        self._lease = lease
        self._operations = operations
        self._over: Lock | None = None

    def post(self) -> None:
        """Free the slot and submit; return at once."""
        self._intake.settle(self._lease)
        self._committer.post(self._operations, self)

    def post_and_wait(self) -> None:
        """Submit, and return when the outcome has committed or been refused."""
        self._over = Lock()
        self._over.acquire()
        self.post()
        self._over.acquire()

    def done(self, applied: list[Applied]) -> None:
        """Called by the committer when the transaction has committed."""
        if not applied[-1].accepted:
            log.warning(
                "the %s of task %s (lease %s) was refused: the lease has passed to another worker,"
                " or it was recorded before",
                self._operations[-1].kind,
                self._lease.task_id,
                self._lease.seq,
            )
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Called by the committer when the operations cannot be committed."""
        lease, last = self._lease, self._operations[-1]
        if isinstance(error, psycopg.OperationalError) or last.fields.get("state") == "failed":
            log.error("the %s of task %s was not recorded: %s", last.kind, lease.task_id, error)
            self._finish()
            return
        log.error("the outcome of task %s cannot be stored: %s", lease.task_id, error)
        failure = outcome.finish_failed(lease, describe(error))
        failure.costs, failure.closes = last.costs, last.closes
        self._operations = [failure]
        self._committer.post(self._operations, self)

    def _finish(self) -> None:
        self._intake.settled(self._lease)
        if self._over is not None:
            self._over.release()
