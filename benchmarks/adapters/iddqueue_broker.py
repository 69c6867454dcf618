"""IDDQueue: a Dramatiq broker. Tuned: prefetch 256, a pool wider than the slots."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks.adapters.base import SLOTS
from benchmarks.adapters.dramatiq_broker import DramatiqBroker


class Iddqueue(DramatiqBroker):
    """Messages of IDDQueue, batched by its `enqueue_many`."""

    def install(self) -> None:
        from iddqueue.schema import generate_init_sql

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(generate_init_sql("dramatiq", ""))

    def broker(self) -> Any:
        from iddqueue import PostgresBroker

        pool = f"&minconn={SLOTS + 4}&maxconn={SLOTS + 4}" if self.tuned else ""
        return PostgresBroker(url=self.dsn + pool)

    def send_batch(self, broker: Any, messages: list[Any]) -> None:
        broker.enqueue_many(messages)


ADAPTER = Iddqueue
