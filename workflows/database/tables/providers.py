"""Model providers: pools with limits, calls, what is learnt, models with prices, files."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from lmx.workflows.database.tables.columns import JSON, TIME, metadata

pools = Table(
    "pools",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("queue", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("model_group", Text, nullable=False),
    Column("shared_id", Integer, ForeignKey("lmx.pools.id")),
    Column("limits", JSON, nullable=False),
    Column("state", JSON, nullable=False),
    Column("clock_origin", TIME, nullable=False),
    Column("clock_rate", Double, nullable=False),
    Column("next_at", TIME),
    Column("waits_for", Text),
    Column("updated_at", TIME, nullable=False),
    UniqueConstraint("provider", "account", "model_group"),
    Index("pools_queue", "queue", "id"),
)

calls = Table(
    "calls",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("pool_id", Integer, ForeignKey("lmx.pools.id"), nullable=False),
    Column("model", Text, nullable=False),
    Column("costs", JSON, nullable=False),
    Column("charged", JSON),
    Column("charged_at", Double),
    Column("deferred", Text),
    Index("calls_deferred", "task_id", postgresql_where=text("deferred IS NOT NULL")),
)

cloud_models = Table(
    "cloud_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("model_group", Text, nullable=False),
    Column("context", Integer, nullable=False),
    Column("max_output", Integer, nullable=False),
    Column("features", ARRAY(Text), nullable=False),
    Column("prices", JSON, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("seen_at", TIME, nullable=False),
)

pool_news = Table(
    "pool_news",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("pool_id", Integer, ForeignKey("lmx.pools.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", BigInteger),
    Column("kind", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", TIME, nullable=False),
    Index("pool_news_pool", "pool_id", "id"),
)

files = Table(
    "files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("seen_at", TIME, nullable=False),
)

task_files = Table(
    "task_files",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", Text, ForeignKey("lmx.files.sha256"), primary_key=True),
    Index("task_files_file", "sha256"),
)
