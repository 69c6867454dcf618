"""What coordinators recorded, were sent and remember, and the audit trail."""

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Table, Text

from lmx.workflows.database.tables.columns import JSON, TIME, metadata

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("output", JSON),
    Column("at", TIME, nullable=False),
)

signals = Table(
    "signals",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("payload", JSON),
    Column("at", TIME, nullable=False),
)

memory = Table(
    "memory",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("value", JSON),
    Column("version", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JSON),
    Column("at", TIME, nullable=False),
    Index("events_run", "run_id", "id"),
)
