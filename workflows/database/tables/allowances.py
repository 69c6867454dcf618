"""What accounts and periods of time may spend, what is held of it, and every amount spent."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from lmx.workflows.database.tables.columns import TIME, metadata

allowances = Table(
    "allowances",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("per", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("ceiling", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    UniqueConstraint("scope", "unit", "per"),
)

allowance_periods = Table(
    "allowance_periods",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("allowance_id", Integer, ForeignKey("lmx.allowances.id"), nullable=False),
    Column("starts_at", TIME, nullable=False),
    Column("ends_at", TIME),
    Column("ceiling", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    UniqueConstraint("allowance_id", "starts_at"),
)

allowance_holds = Table(
    "allowance_holds",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("lease_seq", Integer, primary_key=True, autoincrement=False),
    Column(
        "period_id",
        BigInteger,
        ForeignKey("lmx.allowance_periods.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("cost", BigInteger),
    Index("allowance_holds_settled", "period_id", postgresql_where=text("cost IS NOT NULL")),
)

allowance_charges = Table(
    "allowance_charges",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("period_id", BigInteger, ForeignKey("lmx.allowance_periods.id"), nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("lease_seq", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Index("allowance_charges_period", "period_id"),
)
