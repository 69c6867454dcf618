"""The tables as SQLAlchemy Core sees them; `migrations/` creates them, a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="lmx")

#: The states of a task, in the order of its life; the last three are final.
STATES = ("scheduled", "ready", "leased", "parked", "succeeded", "failed", "cancelled")
FINAL_STATES = STATES[-3:]
ROLES = ("coordinator", "worker")

_STATE = Enum(*STATES, name="task_state", metadata=metadata)
_ROLE = Enum(*ROLES, name="task_role", metadata=metadata)
_TIME = DateTime(timezone=True)
_JSON = JSONB(none_as_null=True)

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
    Column("started_at", _TIME, nullable=False),
    Column("seen_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("stopped_at", _TIME),
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
    Column("created_at", _TIME, nullable=False),
    Column("run_at", _TIME),
    Column("started_at", _TIME),
    Column("finished_at", _TIME),
    Column("deadline", _TIME),
    Column("lease_seq", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("time_limit_ms", Integer),
    Column("state", _STATE, nullable=False),
    Column("role", _ROLE, nullable=False),
    Column("parent_role", _ROLE),
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
    Column("input", _JSON),
    Column("output", _JSON),
    Column("error", _JSON),
    Column("usage", _JSON),
    Column("progress", _JSON),
    Column("pool_id", Integer),
    UniqueConstraint("id", "role", name="tasks_id_role"),
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

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("output", _JSON),
    Column("at", _TIME, nullable=False),
)

signals = Table(
    "signals",
    metadata,
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("payload", _JSON),
    Column("at", _TIME, nullable=False),
)

memory = Table(
    "memory",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("value", _JSON),
    Column("version", BigInteger, nullable=False),
    Column("at", _TIME, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", _JSON),
    Column("at", _TIME, nullable=False),
    Index("events_run", "run_id", "id"),
)

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
    Column("at", _TIME, nullable=False),
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
    Column("at", _TIME, nullable=False),
    Index("charges_task", "task_id"),
    Index("charges_run", "run_id"),
)

catalog = Table(
    "catalog",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", _ROLE, nullable=False),
    Column("queue", Text, nullable=False),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("time_limit_ms", Integer),
    Column("doc", Text),
    Column("parameters", JSONB, nullable=False),
    Column("seen_at", _TIME, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("n_ctx", Integer, nullable=False),
    Column("usd_nano_per_mtok_in", BigInteger, nullable=False),
    Column("usd_nano_per_mtok_out", BigInteger, nullable=False),
    Column("info", JSONB, nullable=False),
    Column("needs", JSONB, nullable=False),
    Column("added_at", _TIME, nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("key", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Index("results_expiry", "expires_at"),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Index("rate_limits_expiry", "expires_at"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("key", Text, ForeignKey("lmx.rate_limits.key", ondelete="CASCADE"), primary_key=True),
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("stepped", Boolean, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("host", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cap_bytes", BigInteger, nullable=False),
    Column("worker_id", BigInteger),
    Column("snapshot", _JSON),
    Column("seen_at", _TIME, nullable=False),
    UniqueConstraint("host", "name"),
)

vram_leases = Table(
    "vram_leases",
    metadata,
    Column(
        "device_id",
        BigInteger,
        ForeignKey("lmx.devices.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("holder", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("worker_id", BigInteger),
    Column("task_id", BigInteger),
    Column("at", _TIME, nullable=False),
)
