"""How a coordinator writes: buffered spawns, recorded steps, all fenced by its lease."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
import psycopg

from lmx.workflows.coordinators.history import ChildRecord, History, load
from lmx.workflows.coordinators.park import LeaseLost, Parked
from lmx.workflows.errors import InvalidInput, Refused
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Applied, Operation
from lmx.workflows.routing.planning import left_in_budgets
from lmx.workflows.submission import encode_input

_OVERSPENT = "budgets_never_overspent"
_NESTING = "tasks_nesting"


class Port(Protocol):
    """The way to the database that a worker process lends to its coordinators."""

    def commit(self, operations: Sequence[Operation]) -> list[Applied]:
        """Commit operations together and wait for it."""

    def borrow(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection for reading."""


@dataclass(slots=True)
class Journal:
    """The history of one coordinator and the operations that extend it."""

    lease: Lease
    history: History
    port: Port
    _pending: list[Operation] = field(default_factory=list)

    def name(self, kind: str, name: str) -> str:
        """Number a use of a step, spawn or signal name. Raises InvalidInput for a bad one."""
        if not 1 <= len(name) <= 200 or set("#:\x00") & set(name):
            shown = name if len(name) <= 200 else f"{name[:60]}..."
            raise InvalidInput(
                f"{shown!r} cannot name a {kind}",
                hint="use 1 to 200 characters without '#', ':' or NUL",
            )
        return self.history.numbered(kind, name)

    def record(self, name: str, value: Any, *extra: Operation) -> Any:
        """Record a value under a name that `name` returned; returns it as a replay will see it."""
        text = encode_input(value, f"the result of {name!r}")
        checkpoint = self.operation("checkpoint", name=name, output=orjson.Fragment(text))
        row = self._commit(checkpoint, *extra)[0].row
        fresh = row is None or row[1]
        kept = _as_stored(orjson.loads(text)) if fresh else self._recorded(name)
        self.history.steps[name] = kept
        return kept

    def _recorded(self, name: str) -> Any:
        """The result that an earlier holder of this task has recorded under a name."""
        with self.port.borrow() as conn:
            return load(conn, [self.lease.task_id])[self.lease.task_id].steps[name]

    def operation(self, kind: str, **fields: Any) -> Operation:
        """An operation of this coordinator's own task."""
        return Operation(kind, self.lease.task_id, self.lease.seq, fields)

    def spawn(
        self,
        fields: dict[str, Any],
        budgets: list[dict[str, Any]],
        pool: dict[str, Any] | None = None,
        files: Sequence[str] = (),
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        """Buffer a spawn; it commits with the next durable call."""
        operation = self.operation("spawn", **fields)
        operation.budgets = budgets or None
        operation.pool = pool
        operation.files = files
        operation.decision = decision
        self._pending.append(operation)

    def left(self, conn: psycopg.Connection[Any]) -> dict[str, int]:
        """What is left for further children of each unit that this coordinator has a budget in."""
        left = left_in_budgets(conn, self.lease.task_id)
        for row in (row for spawn in self._pending for row in spawn.budgets or ()):
            if row["unit"] in left:
                left[row["unit"]] = max(0, left[row["unit"]] - row["ceiling"])
        return left

    def time_left(self, conn: psycopg.Connection[Any]) -> float | None:
        """Seconds until the soonest deadline of this coordinator and those above it, if any."""
        row = conn.execute(
            "WITH RECURSIVE above AS (SELECT parent_id, deadline FROM lmx.tasks WHERE id = %s"
            " UNION ALL SELECT t.parent_id, t.deadline FROM above JOIN lmx.tasks t"
            " ON t.id = above.parent_id)"
            " SELECT extract(epoch FROM min(deadline) - clock_timestamp())::float8 FROM above",
            [self.lease.task_id],
        ).fetchone()
        return row[0] if row else None

    def refusal(self, key: str) -> str | None:
        """Why the spawn of this key was refused, if it was."""
        reason: str | None = self.history.steps.get(f"refused:{key}")
        return reason

    def flush(self) -> None:
        """Commit the buffered spawns."""
        if self._pending:
            self._commit()

    def park(self, *before: Operation, **fields: Any) -> None:
        """Park with what is buffered. Raises Parked; returns if the wait is over already."""
        results = self._commit(*before, self.operation("park", **fields))
        row = results[-1].row
        if row is not None and row[1]:
            raise Parked

    def reload(self) -> None:
        """Read again what children and signals have added since the claim."""
        with self.port.borrow() as conn:
            fresh = load(conn, [self.lease.task_id])[self.lease.task_id]
        self.history.children = fresh.children
        self.history.signals = fresh.signals

    def expected(self) -> list[str]:
        """The keys of children, buffered ones too, that had not finished when last looked at."""
        known = [key for key, child in self.history.children.items() if not child.finished]
        return known + [operation.fields["key"] for operation in self._pending]

    def _commit(self, *operations: Operation) -> list[Applied]:
        spawns, self._pending = self._pending, []
        try:
            results = self._send([*spawns, *operations])
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name != _OVERSPENT:
                raise _refused(error) from None
            self._spawn_each(spawns)
            return self._send(operations) if operations else []
        self._born(spawns, results)
        return results[len(spawns) :]

    def _spawn_each(self, spawns: list[Operation]) -> None:
        """Spawn one by one and record which the budget refused, so that replays agree."""
        for spawn in spawns:
            try:
                self._born([spawn], self._send([spawn]))
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name != _OVERSPENT:
                    raise _refused(error) from None
                key = spawn.fields["key"]
                asked = {row["unit"]: row["ceiling"] for row in spawn.budgets or ()}
                reason = f"the budget has not enough left for the child {key!r}: it asks {asked}"
                self.record(f"refused:{key}", reason)

    def _send(self, operations: Sequence[Operation]) -> list[Applied]:
        results = self.port.commit(operations)
        if not all(result.accepted for result in results):
            raise LeaseLost
        return results

    def _born(self, spawns: Sequence[Operation], results: Sequence[Applied]) -> None:
        for spawn, result in zip(spawns, results, strict=False):
            if result.row is not None:
                self.history.children[spawn.fields["key"]] = ChildRecord(result.row[2], "ready")


def _refused(error: psycopg.errors.CheckViolation) -> Exception:
    if error.diag.constraint_name == _NESTING:
        return Refused(
            "this run may not nest coordinators any deeper",
            hint="submit it with a larger nesting=",
        )
    return error


def _as_stored(value: Any) -> Any:
    """Order the keys of objects as jsonb does, so that a replay iterates over them alike."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _as_stored(value[key]) for key in keys}
    if isinstance(value, list):
        return [_as_stored(item) for item in value]
    return value
