"""What is to be done and who does it: tasks, their queues, runs and workers."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from lmx.workflows.database.tables.columns import JSON, ROLE, STATE, TIME, metadata

queues = Table(
    "queues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("vtime", Double, nullable=False),
    Column("lane_offset", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Double, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("seen_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("stopped_at", TIME),
    Index("workers_live", "expires_at", postgresql_where=text("stopped_at IS NULL")),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("root_id", BigInteger, nullable=False),
    Column("parent_id", BigInteger),
    Column("worker_id", BigInteger),
    Column("rank", Double, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("run_at", TIME),
    Column("started_at", TIME),
    Column("finished_at", TIME),
    Column("deadline", TIME),
    Column("lease_seq", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("time_limit_ms", Integer),
    Column("state", STATE, nullable=False),
    Column("role", ROLE, primary_key=True),
    Column("parent_role", ROLE),
    Column("priority", SmallInteger, nullable=False),
    Column("nesting", SmallInteger, nullable=False),
    Column("deliveries", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("budgeted", Boolean, nullable=False),
    Column("queue", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text),
    Column("waiting_for", Text),
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary),
    Column("message", LargeBinary),
    Column("input", JSON),
    Column("output", JSON),
    Column("error", JSON),
    Column("usage", JSON),
    Column("progress", JSON),
    Column("pool_id", Integer),
    ForeignKeyConstraint(
        ["parent_id", "parent_role"], ["lmx.tasks.id", "lmx.tasks.role"], name="tasks_parent"
    ),
    Index("tasks_ready", "queue", "rank", "id", postgresql_where=text("state = 'ready'")),
    Index(
        "tasks_pooled",
        "pool_id",
        "rank",
        "id",
        postgresql_where=text("state = 'ready' AND pool_id IS NOT NULL"),
    ),
    Index("tasks_leased", "worker_id", postgresql_where=text("state = 'leased'")),
    Index(
        "tasks_timed",
        "run_at",
        postgresql_where=text("run_at IS NOT NULL AND state IN ('scheduled', 'parked')"),
    ),
    Index(
        "tasks_deadline",
        "deadline",
        postgresql_where=text("deadline IS NOT NULL AND finished_at IS NULL"),
    ),
    Index(
        "tasks_open",
        "id",
        postgresql_where=text("finished_at IS NULL AND parent_id IS NULL"),
    ),
    Index(
        "tasks_dead",
        "id",
        postgresql_where=text("state IN ('failed', 'cancelled') AND parent_id IS NULL"),
    ),
    Index(
        "tasks_children",
        "parent_id",
        "key",
        unique=True,
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    Index(
        "tasks_idempotency",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("weight", Double, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("forked_from", BigInteger),
    Index("runs_paused", "id", postgresql_where=text("paused")),
)

lanes = Table(
    "lanes",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("queue", Text, primary_key=True),
    Column("pass", Double, nullable=False, key="pass_"),
)

catalog = Table(
    "catalog",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", ROLE, nullable=False),
    Column("queue", Text, nullable=False),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("time_limit_ms", Integer),
    Column("doc", Text),
    Column("parameters", JSONB, nullable=False),
    Column("seen_at", TIME, nullable=False),
)
