"""Results, rate limits and barriers of ordinary Dramatiq actors."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text

from lmx.workflows.database.tables.columns import TIME, metadata

results = Table(
    "results",
    metadata,
    Column("key", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Index("results_expiry", "expires_at"),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Index("rate_limits_expiry", "expires_at"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("key", Text, ForeignKey("lmx.rate_limits.key", ondelete="CASCADE"), primary_key=True),
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("stepped", Boolean, nullable=False),
)
