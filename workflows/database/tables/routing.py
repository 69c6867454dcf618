"""What was decided for calls that routes choose models for."""

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text, text

from lmx.workflows.database.tables.columns import JSON, TIME, metadata

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("task_id", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("pool", Text),
    Column("cost", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("features", JSON, nullable=False),
    Column("candidates", JSON, nullable=False),
    Column("terms", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("again_at", TIME),
    Index("decisions_task", "task_id", "id"),
    Index("decisions_at", "at"),
    Index("decisions_due", "again_at", postgresql_where=text("again_at IS NOT NULL")),
)
