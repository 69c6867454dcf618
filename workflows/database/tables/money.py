"""Budgets, what is held of them, and every amount ever spent."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
)

from lmx.workflows.database.tables.columns import TIME, metadata

budgets = Table(
    "budgets",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", Text, primary_key=True),
    Column("ceiling", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("reserve", BigInteger, nullable=False),
    Column("lost", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", Text, primary_key=True),
    Column("lease_seq", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    ForeignKeyConstraint(
        ["task_id", "unit"], ["lmx.budgets.task_id", "lmx.budgets.unit"], ondelete="CASCADE"
    ),
)

charges = Table(
    "charges",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("lease_seq", Integer, nullable=False),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Index("charges_task", "task_id"),
    Index("charges_run", "run_id"),
)
