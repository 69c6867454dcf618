"""Model files, devices, and the bytes booked on them."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from lmx.workflows.database.tables.columns import JSON, TIME, metadata

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
    Column("added_at", TIME, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("host", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cap_bytes", BigInteger, nullable=False),
    Column("worker_id", BigInteger),
    Column("snapshot", JSON),
    Column("seen_at", TIME, nullable=False),
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
    Column("at", TIME, nullable=False),
)

vram_holds = Table(
    "vram_holds",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "device_id", BigInteger, ForeignKey("lmx.devices.id", ondelete="CASCADE"), nullable=False
    ),
    Column("command", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Double, nullable=False),
    Column("asked_at", TIME, nullable=False),
    Column("granted_at", TIME),
    Column("seen_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Index("vram_holds_device", "device_id"),
)
