"""One worker of `benchmarks.claim_limits`: python -m benchmarks.claim_worker DSN SLOTS SECONDS.

Says that it is ready, waits for a line, and prints what it has acquired, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

from lmx.workers.cloud.answer import Answer
from lmx.workers.cloud.intake import CloudIntake
from lmx.workers.cloud.outcome import answered
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.leases import Registration
from lmx.workflows.operations import Applied
from lmx.workflows.providers.pricing import Tokens
from lmx.workflows.turn import Batch, Feed, commit

QUEUE = "bench"


class _Demand:
    """A worker's side of the group commit: it takes leases and counts messages to the server."""

    queue = QUEUE

    def __init__(self, intake: CloudIntake, slots: int) -> None:
        self._intake, self._slots = intake, slots
        self.leases: list[Lease] = []

    def slots(self) -> int:
        return self._slots

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        return self._intake.claim(conn, slots)

    def take(self, leases: list[Lease]) -> None:
        self.leases = leases


class _Silent:
    def done(self, value: list[Applied]) -> None:
        """Nobody waits."""

    def fail(self, error: BaseException) -> None:
        """A benchmark that fails is over."""
        raise error


def work(dsn: str, slots: int, seconds: float) -> None:
    """Claim, end what was claimed together with the next claim, until the time is over."""
    database = Database(dsn)
    worker = Registration(database, name=QUEUE, queues=(QUEUE,), heartbeat_s=60, lease_s=600)
    worker.start()
    intake = CloudIntake(QUEUE, slots, lambda: worker.worker_id)
    demand = _Demand(intake, slots)
    with database.connect_hot() as conn:
        commit(conn, [], [])  # the statements' first round
        print("ready", flush=True)
        sys.stdin.readline()
        acquired = 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            ended = [_ended(lease) for lease in demand.leases]
            _, [(_, _, demand.leases)] = commit(conn, ended, [(Feed(demand), slots)])
            for lease in demand.leases:
                intake.place(lease.task_id)
            acquired += len(demand.leases)
            if not demand.leases and not ended:
                break
        spent = time.perf_counter() - start
        commit(conn, [_ended(lease) for lease in demand.leases], [])
    worker.stop()
    print(json.dumps({"acquired": acquired, "seconds": spent}))


def _ended(lease: Lease) -> Batch:
    answer = Answer(
        text="Done.",
        model="m",
        finish_reason="stop",
        stop_reason="end_turn",
        tokens=Tokens(input=650, output=120),
        request_id="r",
    )
    return Batch(answered(lease, answer, 365_000, 0.2), _Silent())


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
