"""Records what became of calls in a batch: each once, fenced, in transactions of some at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from lmx.workers.cloud import outcome
from lmx.workers.cloud.answer import Answer
from lmx.workers.cloud.batches.records import Batch, Connection, Member, hold, members
from lmx.workers.cloud.errors import ProviderError
from lmx.workflows import faults
from lmx.workflows.control.subtree import close_budgets
from lmx.workflows.operations import ALL_OTHERS, Operation, apply, encode
from lmx.workflows.providers.pricing import Prices
from lmx.workflows.sql import statement

#: An entry's outcome, or what makes the operation of a call that waits.
Result = Answer | ProviderError
Operate = Callable[[Member], Operation]


def record(
    conn: Connection,
    batch: Batch,
    worker: int,
    results: Mapping[int, Result],
    prices: Prices,
) -> int:
    """Record results by task, those whose outcome is open; returns how many. Raises Superseded.

    A call whose task has ended meanwhile is only paid for.
    """

    def end(member: Member) -> Operation:
        return _operation(member, results[member.lease.task_id], batch, prices)

    def late(member: Member) -> int | None:
        result = results[member.lease.task_id]
        if isinstance(result, Answer):
            return cost_of(batch, result, prices)
        return None if result.meaning.billed else 0

    named = {task: _name_of(result) for task, result in results.items()}
    return _settle(conn, batch, worker, named, end, late)


def give_back(conn: Connection, batch: Batch, worker: int, ids: Sequence[int]) -> int:
    """Put calls that the provider does not have back into their queue; nothing was bought."""

    def end(member: Member) -> Operation:
        return Operation("requeue", member.lease.task_id, member.lease.seq, {"lost": False})

    return _settle(conn, batch, worker, dict.fromkeys(ids, "given back"), end, lambda _: 0)


def cost_of(batch: Batch, answer: Answer, prices: Prices) -> int:
    """What an answer costs in a batch, in nano-dollars."""
    price = prices.find(batch.model, answer.tokens.prompt, datetime.now(UTC))
    return price.cost(answer.tokens, batch=True)


def _operation(member: Member, result: Result, batch: Batch, prices: Prices) -> Operation:
    if isinstance(result, Answer):
        (end,) = outcome.answered(member.lease, result, cost_of(batch, result, prices), 0.0)
        end.fields["usage"]["batch"] = batch.id
    else:
        (end,) = outcome.failed(member.lease, result, 0.0)
    end.news = None  # a batch counts in no limit of its pool, and tells of its provider as a whole
    return end


def _name_of(result: Result) -> str:
    return "succeeded" if isinstance(result, Answer) else result.failure.value


def _settle(
    conn: Connection,
    batch: Batch,
    worker: int,
    outcomes: Mapping[int, str],
    end: Operate,
    late: Callable[[Member], int | None],
) -> int:
    faults.points({"record_batch"}, "before")
    with conn.transaction():
        hold(conn, batch, worker)
        ids = sorted(outcomes)
        _lock(conn, ids)
        open_ = members(conn, batch, ids)
        waiting = [member for member in open_ if member.waits]
        asked = {"batch": batch.id, "worker": worker, "ids": [m.lease.task_id for m in waiting]}
        resumed = {row[0] for row in conn.execute(statement("resume_members"), asked)}
        operations = [end(member) for member in waiting if member.lease.task_id in resumed]
        if operations:
            apply(conn, operations)
        _pay_late(conn, [(member, late(member)) for member in open_ if not member.waits])
        _close(conn, open_, outcomes)
    faults.points({"record_batch"}, "after")
    return len(open_)


def _lock(conn: Connection, ids: Sequence[int]) -> None:
    """Lock tasks and their parents, in the one order that everybody uses."""
    parents = conn.execute(
        "SELECT DISTINCT parent_id FROM lmx.tasks WHERE id = ANY(%s) AND parent_id IS NOT NULL",
        [list(ids)],
    )
    both = sorted({*ids, *(row[0] for row in parents)})
    conn.execute(statement("lock"), {"ids": both})


def _pay_late(conn: Connection, costs: Iterable[tuple[Member, int | None]]) -> None:
    """Settle what ended tasks still hold for their calls (None: nobody knows), and close them."""
    known = [(member.lease, amount) for member, amount in costs if member.lease.budgeted]
    if not known:
        return
    rows = [
        {"id": lease.task_id, "seq": lease.seq, "unit": unit, "amount": amount}
        for lease, cost in known
        for unit, amount in (("usd", cost), (ALL_OTHERS, 0 if cost is not None else None))
    ]
    conn.execute(statement("settle"), {"ops": encode(rows)})
    conn.execute(statement("settle_allowances"), {"ops": encode(rows)})
    tasks = [(lease.task_id, lease.parent_id) for lease, _ in known]
    close_budgets(conn, tasks)


def _close(conn: Connection, open_: Sequence[Member], outcomes: Mapping[int, str]) -> None:
    rows = [
        {
            "id": member.lease.task_id,
            "seq": member.lease.seq,
            "outcome": outcomes[member.lease.task_id] if member.waits else "late",
        }
        for member in open_
    ]
    conn.execute(
        "UPDATE lmx.batch_calls m SET outcome = d.outcome"
        " FROM jsonb_to_recordset(%s::jsonb) AS d(id bigint, seq int, outcome text)"
        " WHERE m.task_id = d.id AND m.lease_seq = d.seq",
        [encode(rows)],
    )
