"""The server alone: one table, one INSERT per task and one commit each. A scale, not a queue."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from benchmarks.adapters.base import Adapter


class BareServer(Adapter):
    """Single and batched INSERTs through psycopg, with nothing around them."""

    variants = ("single",)
    workloads = frozenset({"enqueue", "batch"})
    unfinished_sql = "SELECT count(*) FROM task"

    def install(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE task (id bigint PRIMARY KEY, payload jsonb NOT NULL)")

    def open(self) -> None:
        self._connection = psycopg.connect(self.dsn, autocommit=True)
        self._connection.prepare_threshold = 0

    def close(self) -> None:
        self._connection.close()

    def enqueue(self, kind: str, number: int) -> None:  # noqa: ARG002
        self._connection.execute(
            "INSERT INTO task VALUES (%s, %s)", (number, f'{{"number": {number}}}')
        )

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:  # noqa: ARG002
        wanted = list(numbers)
        self._connection.execute(
            "INSERT INTO task SELECT * FROM unnest(%s::bigint[], %s::jsonb[])",
            (wanted, [f'{{"number": {number}}}' for number in wanted]),
        )


ADAPTER = BareServer
