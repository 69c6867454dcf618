"""Hands that work by themselves: tests claim tasks and write operations as a worker would."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Applied, Operation, apply
from lmx.workflows.sql import statement
from tests.support.eventually import eventually

QUEUE = "work"
COORDINATORS = "minds"


class Hands:
    """One registered worker with one connection, moved step by step by the test."""

    def __init__(self, database: Database, name: str = "hands") -> None:
        self.database = database
        self.conn = database.connect_hot()
        self.worker = self._scalar(
            "INSERT INTO lmx.workers (name, queues, host, boot_id, pid, pid_started, expires_at)"
            " VALUES (%s, '{work,minds}', 'nowhere', 'none', 1, 0, now() + interval '1 day')"
            " RETURNING id",
            [name],
        )
        self.conn.execute(
            "INSERT INTO lmx.queues (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [[QUEUE, COORDINATORS]],
        )

    def close(self) -> None:
        self.conn.close()

    def _scalar(self, query: str, args: Sequence[Any] | Mapping[str, Any]) -> Any:
        row = self.conn.execute(query, args).fetchone()
        assert row is not None
        return row[0]

    def value(self, query: str, *args: Any) -> Any:
        """One value of one row; a single mapping gives arguments by name."""
        return self._scalar(query, args[0] if args and isinstance(args[0], dict) else args)

    def submit(
        self,
        *,
        role: str = "coordinator",
        budgets: Mapping[str, int] | None = None,
        reserve: Mapping[str, int] | None = None,
        nesting: int = 0,
        timeout: float | None = None,
        delay: float | None = None,
        weight: float = 1.0,
        max_attempts: int = 4,
        time_limit_ms: int | None = None,
        input: Any = None,
    ) -> int:
        """Start a run whose root is a coordinator, or a lone worker task; returns its id."""
        rows = [
            {"unit": unit, "ceiling": amount, "reserve": (reserve or {}).get(unit, 0)}
            for unit, amount in (budgets or {}).items()
        ]
        fields = {
            "role": role,
            "nesting": nesting,
            "name": "review" if role == "coordinator" else "call",
            "queue": COORDINATORS if role == "coordinator" else QUEUE,
            "delay": delay,
            "priority": 0,
            "max_attempts": max_attempts,
            "time_limit_ms": time_limit_ms,
            "timeout": timeout,
            "key": None,
            "hash": None,
            "budgets": orjson.dumps(rows).decode(),
            "input": orjson.dumps(input).decode(),
            "weight": weight,
        }
        task_id: int = self._scalar(statement("submit_run"), fields)
        return task_id

    def claim(self, queue: str = QUEUE, slots: int = 1) -> list[Lease]:
        """Claim up to `slots` tasks."""
        args = self._claiming(queue, slots)
        return [Lease.from_row(row) for row in self.conn.execute(statement("claim"), args)]

    def explain_claim(self, queue: str = QUEUE, slots: int = 1) -> dict[str, Any]:
        """Claim, and return the plan of the claim as it was executed."""
        query = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement("claim")
        plan: dict[str, Any] = self._scalar(query, self._claiming(queue, slots))[0]["Plan"]
        return plan

    def _claiming(self, queue: str, slots: int) -> dict[str, Any]:
        row = {"queue": queue, "slots": slots, "worker": self.worker}
        return row | {"tasks": True, "messages": True, "only": None}

    def take(self, queue: str = QUEUE) -> Lease:
        """Claim exactly one task."""
        (lease,) = self.claim(queue)
        return lease

    def mind(self) -> Lease:
        """Claim exactly one coordinator."""
        return self.take(COORDINATORS)

    def apply(self, *operations: Operation) -> list[Applied]:
        """Commit operations in one transaction."""
        with self.conn.transaction():
            return apply(self.conn, operations)

    def spawn(self, parent: Lease, *keys: str, **options: Any) -> list[int]:
        """Spawn children named by `keys`; returns their ids."""
        applied = self.apply(*(spawning(parent, key, **options) for key in keys))
        assert all(result.accepted for result in applied)
        return [result.row[2] for result in applied if result.row]

    def park(self, lease: Lease, **fields: Any) -> bool:
        """Park a coordinator (by default until its children have finished); returns if it did."""
        fields = fields or {"children": True}
        (applied,) = self.apply(Operation("park", lease.task_id, lease.seq, fields))
        assert applied.row is not None
        parked: bool = applied.row[1]
        return parked

    def checkpoint(self, lease: Lease, name: str, output: Any = None) -> None:
        fields = {"name": name, "output": output}
        (applied,) = self.apply(Operation("checkpoint", lease.task_id, lease.seq, fields))
        assert applied.accepted

    def finish(
        self,
        lease: Lease,
        output: Any = None,
        *,
        error: Mapping[str, Any] | None = None,
        costs: Mapping[str, int | None] | None = None,
    ) -> bool:
        """Finish a task, failed if `error` is given; returns whether the lease still stood."""
        (applied,) = self.apply(finishing(lease, output, error=error, costs=costs))
        return applied.accepted

    def fail(self, lease: Lease, message: str = "it broke") -> bool:
        """Finish a task as a dead letter."""
        return self.finish(lease, error={"kind": "exception", "message": message})

    def state(self, task_id: int) -> str:
        state: str = self.value("SELECT state::text FROM lmx.tasks WHERE id = %s", task_id)
        return state

    def connections_of_others(self) -> int:
        """How many connections to the database there are beside this one; autovacuum has none."""
        count: int = self.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return count

    def states(self, *ids: int) -> list[str]:
        return [self.state(task_id) for task_id in ids]

    def run_to_parked(self, *keys: str, **options: Any) -> tuple[int, list[int]]:
        """A run whose coordinator has spawned children and waits for them; their ids."""
        run = self.submit(**{k: v for k, v in options.items() if k in ("budgets", "nesting")})
        lease = self.mind()
        options.pop("budgets", None)
        options.pop("nesting", None)
        children = self.spawn(lease, *keys, **options)
        assert self.park(lease)
        return run, children


def spawning(
    parent: Lease,
    key: str,
    *,
    role: str = "worker",
    budget: Mapping[str, int] | None = None,
    reserve: Mapping[str, int] | None = None,
    lost: str = "charge",
    nesting: int = 0,
    delay: float | None = None,
    timeout: float | None = None,
    max_attempts: int = 4,
    time_limit_ms: int | None = None,
    input: Any = None,
) -> Operation:
    """The operation that spawns one child."""
    operation = Operation(
        "spawn",
        parent.task_id,
        parent.seq,
        {
            "key": key,
            "name": "call" if role == "worker" else "review",
            "queue": QUEUE if role == "worker" else COORDINATORS,
            "role": role,
            "nesting": nesting,
            "priority": 0,
            "cost": 1.0,
            "delay": delay,
            "max_attempts": max_attempts,
            "time_limit_ms": time_limit_ms,
            "timeout": timeout,
            "budgeted": bool(budget),
            "input": input,
        },
    )
    if budget:
        operation.budgets = [
            {"unit": unit, "ceiling": ceiling, "reserve": (reserve or {}).get(unit), "lost": lost}
            for unit, ceiling in budget.items()
        ]
    return operation


def finishing(
    lease: Lease,
    output: Any = None,
    *,
    error: Mapping[str, Any] | None = None,
    costs: Mapping[str, int | None] | None = None,
) -> Operation:
    """The operation that finishes a task."""
    return Operation(
        "finish",
        lease.task_id,
        lease.seq,
        {"state": "failed" if error else "succeeded", "output": output, "error": error},
        parent_id=lease.parent_id,
        costs=dict(costs) if costs else None,
        closes=lease.budgeted,
    )


def until_blocked_by(holder: Hands, watcher: Hands) -> None:
    """Wait until some transaction waits for a lock that `holder`'s open transaction has."""
    pid = holder.conn.info.backend_pid
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND %s = ANY(pg_blocking_pids(pid))"
    )
    eventually(lambda: watcher.value(query, pid), "a transaction that waits for another")
