"""What the database has recorded of every model call: the evidence that none was made twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from lmx.workflows.names import GENERATE


@dataclass(frozen=True)
class CallRecord:
    """One model call. `claims` counts how often a worker was given it; `digest` is its answer's.

    `charges` counts the amounts booked for it.
    """

    task_id: int
    key: str
    state: str
    claims: int
    started_at: datetime | None
    finished_at: datetime | None
    digest: str | None
    charges: int

    @property
    def completed(self) -> bool:
        """Whether its answer is recorded."""
        return self.state == "succeeded"


def read_calls(conn: psycopg.Connection[Any], run_id: int) -> dict[int, CallRecord]:
    """The run's model calls by task id, in the order of their submission."""
    rows = conn.execute(
        "SELECT t.id, coalesce(t.key, t.name), t.state::text, t.lease_seq, t.started_at,"
        " t.finished_at, md5(t.output::text),"
        " (SELECT count(*) FROM lmx.charges c WHERE c.task_id = t.id)"
        " FROM lmx.tasks t WHERE t.root_id = %s AND t.name = %s ORDER BY t.id",
        [run_id, GENERATE],
    )
    return {row[0]: CallRecord(*row) for row in rows}


def repeated(before: Mapping[int, CallRecord], after: Mapping[int, CallRecord]) -> list[str]:
    """The calls that were complete before and have been touched since: there must be none."""
    return [
        record.key
        for task_id, record in before.items()
        if record.completed and after.get(task_id) != record
    ]
