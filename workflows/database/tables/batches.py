"""Batches of calls at providers, and the calls in them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from lmx.workflows.database.tables.columns import TIME, metadata

batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("pool_id", Integer, ForeignKey("lmx.pools.id"), nullable=False),
    Column("model", Text, nullable=False),
    Column("token", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("provider_id", Text, unique=True),
    Column("candidates", ARRAY(Text)),
    Column("calls", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("worker_id", BigInteger),
    Column("deliveries", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("sent_at", TIME),
    Column("expires_at", TIME),
    Column("polled_at", TIME),
    Column("next_at", TIME),
    Column("ended_at", TIME),
    Column("error", Text),
    Index("batches_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

batch_calls = Table(
    "batch_calls",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("lmx.batches.id"), nullable=False),
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("lease_seq", Integer, primary_key=True, autoincrement=False),
    Column("outcome", Text),
    Index("batch_calls_batch", "batch_id"),
    Index("batch_calls_open", "batch_id", postgresql_where=text("outcome IS NULL")),
)
