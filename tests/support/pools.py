"""Workers of a provider, moved step by step, with pools of the test's own."""

from collections.abc import Callable
from typing import Any

from lmx.workers.cloud.intake import CloudIntake
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation, apply
from lmx.workflows.pools import PoolSpec, list_pools, place_calls, put_pool
from tests.support.hands import Hands

CLOUD = "cloud"


class Pools:
    """One or more workers of a provider, moved step by step, and a way to queue calls."""

    def __init__(self, database: Database) -> None:
        self.hands = Hands(database)
        self.conn = self.hands.conn
        queues = ["work", "minds", CLOUD, "faithful/default"]
        self.conn.execute("UPDATE lmx.workers SET queues = %s", [queues])
        self.waits: list[float] = []
        self.intake = self.another()

    def another(self) -> CloudIntake:
        intake = CloudIntake(CLOUD, 64, lambda: self.hands.worker)
        intake.due_in = self.waits.append
        return intake

    def pool(
        self,
        group: str,
        *limits: dict[str, Any],
        clock_rate: float = 1.0,
        account: str = "default",
        shared: int | None = None,
    ) -> int:
        spec = PoolSpec(CLOUD, "faithful", account, group, limits, clock_rate=clock_rate)
        return put_pool(self.conn, spec, shared)

    def call(self, pool: int, count: int = 1, **costs: int) -> list[int]:
        tasks = [self.hands.submit(role="worker") for _ in range(count)]
        rows = [
            {"id": task, "pool_id": pool, "model": "m", "costs": {"requests": 1, **costs}}
            for task in tasks
        ]
        with self.conn.transaction():
            assert place_calls(self.conn, rows) == count
        return tasks

    def claim(self, slots: int = 64, intake: CloudIntake | None = None) -> list[Lease]:
        with self.conn.transaction():
            return (intake or self.intake).claim(self.conn, slots)()

    def ripen(self) -> None:
        """Let the time pass that pools wait."""
        self.conn.execute("UPDATE lmx.pools SET next_at = NULL")

    def finish(
        self,
        lease: Lease,
        *news: dict[str, Any],
        seq: int | None = None,
        costs: dict[str, int | None] | None = None,
    ) -> None:
        done = Operation("finish", lease.task_id, seq or lease.seq, {"state": "succeeded"})
        done.news = list(news)
        done.costs = costs
        with self.conn.transaction():
            apply(self.conn, [done])

    def heard(self) -> Callable[[], int]:
        """Listen to the queue; the function returned counts the notices that came since."""
        self.conn.execute(f'LISTEN "lmx:{CLOUD}"')
        return lambda: len(list(self.conn.notifies(timeout=0.05)))

    def used(self, group: str) -> dict[str, float]:
        name = f"faithful/default/{group}"
        pool = next(pool for pool in list_pools(self.conn) if pool.name == name)
        return {limit.name: limit.used for limit in pool.limits}


def hourly(limit: int, of: str = "requests") -> dict[str, Any]:
    """A limit that does not change while a test runs."""
    return {"name": f"{of}/h", "of": of, "kind": "window", "limit": limit, "period_s": 3600}
