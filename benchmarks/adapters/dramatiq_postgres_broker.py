"""dramatiq-postgres: a Dramatiq broker. Tuned: prefetch 256, a pool wider than the slots."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks.adapters.base import SLOTS
from benchmarks.adapters.dramatiq_broker import DramatiqBroker


class DramatiqPostgres(DramatiqBroker):
    """Messages of dramatiq-postgres; it has no batch of its own."""

    def install(self) -> None:
        from dramatiq_postgres import generate_init_sql

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(generate_init_sql())

    def broker(self) -> Any:
        from dramatiq_postgres import PostgresBroker

        pool = f"&minconn={SLOTS + 4}&maxconn={SLOTS + 4}" if self.tuned else ""
        return PostgresBroker(url=self.dsn + pool)


ADAPTER = DramatiqPostgres
