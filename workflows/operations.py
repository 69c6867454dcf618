"""What a holder of leases writes to the database: operations, and the statements that apply them.

Every operation is fenced by its lease: applied to a task whose lease has passed to somebody else
it changes nothing and is reported as refused. `apply` runs any number of operations of any number
of tasks as one pipelined round trip inside the caller's transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import psycopg

from lmx.workflows.closing import closing_rounds
from lmx.workflows.errors import InvalidInput
from lmx.workflows.sql import statement

#: The order in which one transaction applies its operations: children are born before their
#: parent's wait is counted, holds are settled while the lease still stands, budgets close last.
#: Memory is written before the checkpoint that says that it was, what had come of an answer before
#: the error of which it becomes a part.
ORDER: Final = (
    "memory",
    "checkpoint",
    "spawn",
    "send",
    "result",
    "partial",
    "finish",
    "retry",
    "requeue",
    "park",
)


_LOCKING: Final = frozenset({"spawn", "send", "result", "partial", "park"})

#: In `Operation.costs`: all units that the attempt holds beside those named.
ALL_OTHERS: Final = "*"


@dataclass(slots=True)
class Operation:
    """One fenced write. `fields` are the columns that its statement reads beside the token.

    `parent_id` is locked together with the task. `costs` maps budget units (`ALL_OTHERS`: those
    held and not named) to what the attempt cost (None: nobody knows) and is settled before a
    finish, a retry or a requeue. `budgets` are the ceilings that a spawn moves out of the
    parent's budget, `pool` puts the child's call into its pool, `files` are the hashes of the files
    that the child refers to, `decision` says why a route has chosen its model. `news` tells the
    task's own pool what became of its call (limits/folding).
    """

    kind: str
    task_id: int
    seq: int
    fields: dict[str, Any] = field(default_factory=dict)
    parent_id: int | None = None
    costs: dict[str, int | None] | None = None
    budgets: list[dict[str, Any]] | None = None
    event: dict[str, Any] | None = None
    news: list[dict[str, Any]] | None = None
    pool: dict[str, Any] | None = None
    files: Sequence[str] = ()
    decision: Mapping[str, Any] | None = None
    closes: bool = False


def keep(
    task_id: int, seq: int, partial: Mapping[str, Any] | None = None, attempts: int | None = None
) -> Operation:
    """Keep what had come of an answer; None: what was shown of it last.

    With the `attempts` that had failed before, also after an outsider has ended the task.
    """
    return Operation("partial", task_id, seq, {"partial": partial, "attempts": attempts})


@dataclass(slots=True)
class Applied:
    """What became of an operation: whether its lease still stood, and its statement's row."""

    accepted: bool
    row: tuple[Any, ...] | None = None


def encode(value: Any) -> str:
    """Encode as JSON for a jsonb parameter. Raises InvalidInput for what JSON cannot hold."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"not a JSON value: {error}") from None


def _needs_lock(operations: Sequence[Operation]) -> bool:
    """Whether several statements of this transaction must find the lease in the same state."""
    return any(
        op.parent_id is not None or op.costs or op.news or op.kind in _LOCKING for op in operations
    )


def _locked_ids(operations: Sequence[Operation]) -> list[int]:
    ids = {op.task_id for op in operations}
    ids.update(op.parent_id for op in operations if op.parent_id is not None)
    return sorted(ids)


def _run(conn: psycopg.Connection[Any], name: str, rows: Sequence[dict[str, Any]]) -> Any:
    return conn.execute(statement(name), {"ops": encode(rows)}, prepare=True)


def _settlements(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    return [
        {"id": op.task_id, "seq": op.seq, "unit": unit, "amount": amount}
        for op in operations
        for unit, amount in (op.costs or {}).items()
    ]


def _escrows(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    return [
        {"id": op.task_id, "seq": op.seq, "key": op.fields["key"], **budget}
        for op in operations
        for budget in op.budgets or ()
    ]


def _pooled(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    return [
        {"parent_id": op.task_id, "key": op.fields["key"], **op.pool}
        for op in operations
        if op.pool
    ]


def _attached(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    return [
        {"parent_id": op.task_id, "key": op.fields["key"], "sha256": sha256}
        for op in operations
        for sha256 in op.files
    ]


def _decided(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    return [
        {"parent_id": op.task_id, "key": op.fields["key"], **op.decision}
        for op in operations
        if op.decision
    ]


def send(
    conn: psycopg.Connection[Any], operations: Sequence[Operation]
) -> list[psycopg.Cursor[Any]]:
    """Queue the statements for `operations` on a connection in pipeline mode, in `ORDER`.

    Returns the cursors whose rows `collect` reads after the pipeline has been synchronised.
    """
    if _needs_lock(operations):
        conn.execute(statement("lock"), {"ids": _locked_ids(operations)}, prepare=True)
    if settlements := _settlements(operations):
        _run(conn, "settle", settlements)
        _run(conn, "settle_allowances", settlements)
    if news := [{"id": op.task_id, "seq": op.seq, **n} for op in operations for n in op.news or ()]:
        _run(conn, "pool_news", news)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for place, op in enumerate(operations):
        row = {"op": place, "id": op.task_id, "seq": op.seq, **op.fields}
        by_kind.setdefault(op.kind, []).append(row)
    cursors = []
    for kind in ORDER:
        if kind in by_kind:
            cursors.append(_run(conn, kind, by_kind[kind]))
        if kind == "spawn" and (escrows := _escrows(operations)):
            _run(conn, "escrow", escrows)
        if kind == "spawn" and (pooled := _pooled(operations)):
            _run(conn, "place_calls", pooled)
        if kind == "spawn" and (attached := _attached(operations)):
            _run(conn, "attach", attached)
        if kind == "spawn" and (decided := _decided(operations)):
            _run(conn, "record_decisions", decided)
    for ids in closing_rounds((op.task_id, op.parent_id) for op in operations if op.closes):
        conn.execute(statement("close_budgets"), {"ids": ids}, prepare=True)
    if events := [{"id": op.task_id, "seq": op.seq, **op.event} for op in operations if op.event]:
        _run(conn, "events", events)
    return cursors


def collect(
    cursors: Sequence[psycopg.Cursor[Any]], operations: Sequence[Operation]
) -> list[Applied]:
    """Read what became of each operation, in their order."""
    applied = [Applied(accepted=False) for _ in operations]
    for cursor in cursors:
        for row in cursor.fetchall():
            applied[row[0]] = Applied(accepted=True, row=row)
    return applied


def apply(conn: psycopg.Connection[Any], operations: Sequence[Operation]) -> list[Applied]:
    """Apply operations in the caller's transaction, in one round trip."""
    with conn.pipeline():
        cursors = send(conn, operations)
    return collect(cursors, operations)
